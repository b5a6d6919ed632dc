// Package cfn reads AWS SAM templates, as far as this project's template needs: YAML
// with CloudFormation's short forms, parameters with their constraints, rules,
// conditions, intrinsic functions, and SAM's functions and APIs.
//
// The values in a template are nil, string, []any and map[string]any. Numbers and
// booleans are text, as CloudFormation compares them. An intrinsic function is a map
// with its long name as the only key, even if the file has the short form.
package cfn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Template is a template as written, before its parameters have values.
type Template struct {
	Dir  string // its folder; "" after Parse
	Body map[string]any
}

// Find reads template.yaml in dir or the nearest folder above it.
func Find(dir string) (*Template, error) {
	file, text, err := Read(dir)
	if err != nil {
		return nil, err
	}
	t, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	t.Dir = filepath.Dir(file)
	return t, nil
}

// Read is [Find] without parsing, which takes most of its time.
func Read(dir string) (file string, text []byte, err error) {
	dir, err = filepath.Abs(dir)
	for at := dir; err == nil; at = filepath.Dir(at) {
		file = filepath.Join(at, "template.yaml")
		if text, err = os.ReadFile(file); err == nil {
			return file, text, nil
		} else if errors.Is(err, os.ErrNotExist) && at != filepath.Dir(at) {
			err = nil
		}
	}
	return "", nil, fmt.Errorf("there is no template.yaml in %s or above: %w", dir, err)
}

// Parse reads a template in YAML or JSON.
func Parse(text []byte) (*Template, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	normalize(&doc)
	var body map[string]any
	if err := doc.Decode(&body); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if object(body["Resources"]) == nil {
		return nil, errors.New("the template has no Resources")
	}
	return &Template{Body: body}, nil
}

// Section returns a section such as Parameters, as written.
func (t *Template) Section(name string) map[string]any { return object(t.Body[name]) }

// normalize makes all scalars but null text, and writes short forms out: "!Sub" is
// short for {"Fn::Sub": ...}, whereas "!!str" is YAML's own.
func normalize(n *yaml.Node) {
	for _, child := range n.Content {
		normalize(child)
	}
	name, short := strings.CutPrefix(n.Tag, "!")
	if short = short && name != "" && !strings.HasPrefix(name, "!"); short {
		n.Tag = ""
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		if n.ShortTag() == "!!bool" {
			n.Value = strings.ToLower(n.Value)
		}
		n.Tag = "!!str"
	}
	if short {
		if name != "Ref" && name != "Condition" {
			name = "Fn::" + name
		}
		argument := *n
		*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, &argument}}
	}
}

// The following return v, or something empty if it is of another type.

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
func list(v any) []any            { l, _ := v.([]any); return l }

func text(v any, otherwise string) string {
	if s, ok := v.(string); ok {
		return s
	}
	return otherwise
}

func texts(v any) (all []string) {
	for _, item := range list(v) {
		all = append(all, text(item, ""))
	}
	return all
}
