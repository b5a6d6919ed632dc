package examples_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Providers cannot be fetched everywhere, so nothing validates it against AWS's schema.
func TestModulesParseAndReferToWhatExists(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("terraform/*.tf")
	more, _ := filepath.Glob("services/allow/*.tf")
	if files = append(files, more...); len(files) != 2 {
		t.Fatalf("want the module and the policy's example, got %q", files)
	}
	for _, name := range files {
		file, problems := hclparse.NewParser().ParseHCLFile(name)
		if problems.HasErrors() {
			t.Errorf("%v", problems)
			continue
		}
		declared := []string{"aws_iam_role.caller"} // in services/allow, the reader's own
		for _, block := range file.Body.(*hclsyntax.Body).Blocks {
			switch block.Type {
			case "variable":
				declared = append(declared, "var."+block.Labels[0])
			case "data":
				declared = append(declared, "data."+strings.Join(block.Labels, "."))
			default:
				declared = append(declared, strings.Join(block.Labels, "."))
			}
		}
		_ = hclsyntax.VisitAll(file.Body.(*hclsyntax.Body), func(node hclsyntax.Node) hcl.Diagnostics {
			expression, ok := node.(*hclsyntax.ScopeTraversalExpr)
			if !ok {
				return nil
			}
			var words []string
			for _, step := range expression.Traversal {
				switch step := step.(type) {
				case hcl.TraverseRoot:
					words = append(words, step.Name)
				case hcl.TraverseAttr:
					words = append(words, step.Name)
				}
			}
			reference := strings.Join(words, ".") + "."
			local := slices.Contains([]string{"each", "route", "string", "map", "list"}, words[0]) // of for_each, for, and types
			if !local && !slices.ContainsFunc(declared, func(name string) bool { return strings.HasPrefix(reference, name+".") }) {
				t.Errorf("%s: %s: want something that is declared", name, strings.TrimSuffix(reference, "."))
			}
			return nil
		})
	}
}
