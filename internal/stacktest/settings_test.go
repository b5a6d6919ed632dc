package stacktest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md from template.yaml")

// parameterOf matches a value that is a parameter, or an item of one.
var parameterOf = regexp.MustCompile(`^\{(?:"Fn::Select":.*(?:"Ref":"|\$\{)|"Ref":")(\w+)`)

// variables maps each environment variable of a function to the template parameter
// it gets its value from, "" for one that has it from more, or elsewhere.
func variables(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	all := list{dig(source(t), "Globals", "Function")}
	for id := range functions {
		all = append(all, dig(source(t), "Resources", id+"Function", "Properties"))
	}
	for _, properties := range all {
		variables, _ := dig(properties, "Environment", "Variables").(object)
		for key, value := range variables {
			text, _ := json.Marshal(value)
			if found[key] = ""; parameterOf.Match(text) {
				found[key] = string(parameterOf.FindSubmatch(text)[1])
			}
		}
	}
	return found
}

func TestTemplateSetsWhatTheCodeReads(t *testing.T) {
	t.Parallel()
	read := slices.DeleteFunc(inCode(t, `getenv\("([A-Z]+_[A-Z0-9_]+)"\)|\(getenv, "([A-Z]+_[A-Z0-9_]+)"|\{"([A-Z]+_[A-Z0-9_]+)", (?:\(|func)`),
		func(name string) bool { return strings.HasPrefix(name, "AWS_") }) // which Lambda sets
	same(t, "environment in template.yaml, compared with the code", sortedKeys(variables(t)), append(read, "GOMAXPROCS")) // which Go reads itself
}

// docs/settings.md is generated: go test ./internal/stacktest -run SettingsPage -update
func TestSettingsPageIsUpToDate(t *testing.T) {
	t.Parallel()
	const page = "docs/settings.md"
	want := settingsPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s: want the page for this template.yaml; write it with go test ./internal/stacktest -run SettingsPage -update", page)
	}
}

// first are the parameters that everybody decides on.
var first = []string{"Environment", "Size", "OidcIssuer", "OidcAudience", "AllowedOrigins", "AlarmTarget"}

// risks are what a changed value can do to a stack in use.
var risks = map[string]string{
	"ParameterPrefix":          "values stay below the old prefix, and the functions answer 503",
	"ExpirationTokenDuration":  "a token without end is worth a password",
	"OidcIssuer":               "a changed prefix gives users other ids, and so no chats",
	"OidcAudience":             "every token with it signs somebody in",
	"RequiredClaims":           "locks out whoever lacks them",
	"UserIdClaim":              "other ids, and so no chats",
	"ClientApiDomainName":      "calls to the old address fail",
	"ServiceApiDomainName":     "calls to the old address fail",
	"ServiceApiVpcEndpointIds": "nobody else reaches the Service API",
	"ServiceApiAccountIds":     "their policies then decide who calls",
	"WebhookPath":              "events to the old address are lost",
	"HookFailClosed":           "while your function fails, nobody can write",
	"Monitoring":               "false rolls nothing back",
}

func settingsPage(t *testing.T) string {
	t.Helper()
	parameters := source(t)["Parameters"].(object)
	var own []string
	for name, id := range variables(t) {
		if id == "" {
			own = append(own, "`"+name+"`")
		}
	}
	slices.Sort(own)
	changes, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	unreleased, _, _ := strings.Cut(string(changes), "\n## v") // what stands above the newest release
	for id := range risks {
		if parameters[id] == nil {
			t.Errorf("risks has %s, which is no parameter", id)
		}
	}
	var page strings.Builder
	fmt.Fprintf(&page, "# Settings\n\nOne a line, as `Name=value`, in `deploy/<env>.env`; lists have commas and no spaces. **Everybody decides on six: `%s`.** Besides, `AwsAccount` and `AwsRegion` [guard a stack](deploy.md#environments). A test writes this page.\n\n"+
		"- A change needs a deployment, which starts new processes. The [values in Parameter Store](rotate.md#parameters) need neither.\n"+
		"- In parentheses: the default, if it is not empty. **Risky**: what a change can do to a stack in use. **New**: in no release yet.\n"+
		"- Log lines name the functions' variables: `OIDC_ISSUER` is `OidcIssuer`. The stack sets %s itself.\n", strings.Join(first, "`, `"), strings.Join(own, ", "))
	for _, group := range dig(source(t), "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").(list) {
		name, purpose, _ := strings.Cut(dig(group, "Label", "default").(string), " - ")
		fmt.Fprintf(&page, "\n## %s\n\n%s%s.\n\n", name, strings.ToUpper(purpose[:1]), purpose[1:])
		for _, id := range dig(group, "Parameters").(list) {
			id := id.(string)
			p := parameters[id].(object)
			marks := ""
			if p["Default"] != "" {
				marks = fmt.Sprintf(" (`%v`)", p["Default"])
			}
			if p["MinValue"] != nil {
				marks = fmt.Sprintf(" (`%v`, from %v to %v)", p["Default"], p["MinValue"], p["MaxValue"])
			}
			if strings.Contains(unreleased, "`"+id+"`") {
				marks += " **new**"
			}
			fmt.Fprintf(&page, "**`%s`**%s: %s", id, marks, strings.NewReplacer("<", "&lt;", "*", "\\*").Replace(p["Description"].(string)))
			if risk := risks[id]; risk != "" {
				fmt.Fprintf(&page, " **Risky**: %s.", risk)
			}
			page.WriteString("\n\n")
		}
	}
	return strings.TrimRight(strings.ReplaceAll(page.String(), "\n\n\n", "\n\n"), "\n") + "\n"
}
