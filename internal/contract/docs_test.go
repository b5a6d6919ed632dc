package contract

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
)

const root = "../.."

// A block in the documents: console shows commands with their answers, in which …
// matches anything; bash has commands that must succeed; sh has commands that need
// AWS, which are only parsed.
var block = regexp.MustCompile("(?ms)^ *```(console|bash|sh)\n(.*?)^ *```$")

// bash runs commands in one shell, with the addresses in the documents replaced by
// the server's, and returns each one's output.
func bash(t *testing.T, client, service, prelude string, commands []string) []string {
	t.Helper()
	script := prelude + "\n"
	for _, command := range commands {
		script += command + "\necho ' --- '\n"
	}
	script = strings.NewReplacer("http://127.0.0.1:3000", client, "http://127.0.0.1:3001", service).Replace(script)
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return strings.Split(string(out), " --- \n")
}

func TestDocumentsShowWhatIsAnswered(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "openssl", "gzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			awstest.Missing(t, "%s is not installed", tool)
		}
	}
	local := awstest.NewDevServer(t, nil)
	documents, _ := filepath.Glob(filepath.Join(root, "docs/*.md"))
	ran := 0
	for _, document := range append(documents, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		var commands, answers []string
		shell := ""
		for _, match := range block.FindAllStringSubmatch(string(text), -1) {
			switch kind, body := match[1], match[2]; {
			case kind == "sh":
				shell += body
			case kind == "bash" && body != "make run\n":
				bash(t, local.Client, local.Service, "set -eo pipefail; curl() { command curl -fsS \"$@\"; }", []string{body})
				ran++
			case kind == "console":
				for part := range strings.SplitSeq("\n"+body, "\n$ ") {
					if part = strings.TrimSuffix(part, "\n"); part == "" {
						continue
					}
					command, answer, _ := strings.Cut(part, "\n")
					commands, answers = append(commands, command), append(answers, answer)
				}
			}
		}
		if out, err := exec.Command("bash", "-n", "-c", shell).CombinedOutput(); err != nil {
			t.Errorf("%s: want commands, got %s in\n%s", filepath.Base(document), out, shell)
		}
		if commands == nil {
			continue
		}
		prelude := "bearer=$(curl -s 'http://127.0.0.1:3000/.local/bearer?user=alice')"
		for i, got := range bash(t, local.Client, local.Service, prelude, commands)[:len(commands)] {
			want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(answers[i]), "…", ".+?") + "$")
			if got = strings.Join(strings.Fields(got), " "); !want.MatchString(got) {
				t.Errorf("%s: $ %s\nwant %s\ngot  %s", filepath.Base(document), commands[i], answers[i], got)
			}
			ran++
		}
	}
	if ran < 10 {
		t.Errorf("want commands in the documents, got %d", ran)
	}
}

// terms are names as their owners write them, by what is often written instead.
var terms = map[string]string{
	"Api ?[Gg]ateway|API gateway|ApiGateway": "API Gateway", "Cloudformation|Cloud Formation": "CloudFormation", "Cloudwatch|Cloud Watch": "CloudWatch",
	"Eventbridge|Event Bridge": "EventBridge", "Cloudfront": "CloudFront", "Cloudtrail": "CloudTrail", "Dynamo[Dd]b|DynamoDb": "DynamoDB",
	"Parameter store|parameter store": "Parameter Store", "X-ray|XRay": "X-Ray", "Codedeploy": "CodeDeploy", "Sigv4|SIGV4": "SigV4",
	"Getstream": "Stream", "stream chat|Stream chat\\b": "Stream Chat", "[Ww]eb [Hh]ook|WebHook": "webhook",
	"Open[Ii][Dd][Cc]onnect|OpenId|Openid": "OpenID Connect", "O[Aa]uth ?2\\.0|Oauth|OAUTH": "OAuth", "Jwt|JWTs token|JWT token": "JWT", "Jwks|JWKs": "JWKS",
	"Javascript": "JavaScript", "Typescript": "TypeScript", "Node[.]?JS|NodeJS": "Node.js", "Github|Git Hub": "GitHub", "Gitlab": "GitLab", "KeyCloak": "Keycloak",
	"Json|Yaml": "JSON, YAML", "Https?\\b": "HTTP, HTTPS", "Tls|SSL\\b": "TLS", "[Gg]Zip|GZIP": "gzip", "Cors": "CORS", "Hmac": "HMAC", "Graphql": "GraphQL",
	"Open[Aa]pi|Open API": "OpenAPI", "Postgresql|PostgreSql": "PostgreSQL", "user ID\\b": "user id", "[Tt]ime-out": "timeout",
}

// code is what the terms do not apply to: blocks, names in backquotes, addresses.
var code = regexp.MustCompile("(?ms)^ *```.*?^ *```$|`[^`\n]*`|\\]\\([^)]*\\)|https?://\\S+|<[^>\n]*>")

func TestTermsAreSpelledAsTheirOwnersDo(t *testing.T) {
	t.Parallel()
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "*/README.md", "examples/*/*.md"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		documents = append(documents, found...)
	}
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		prose := code.ReplaceAllString(string(text), "")
		for wrong, right := range terms {
			if found := regexp.MustCompile(`\b(?:` + wrong + `)`).FindString(prose); found != "" {
				t.Errorf("%s: want %s, got %q", document, right, found)
			}
		}
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s:]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noAnchor = regexp.MustCompile(`[^\w\- ]`)
)

func TestLinksHaveTargets(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return block.ReplaceAllString(string(text), "")
	}
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		documents = append(documents, found...)
	}
	for _, document := range documents {
		for _, match := range link.FindAllStringSubmatch(read(document), -1) {
			path, anchor, _ := strings.Cut(match[1], "#")
			target := document
			if path != "" {
				target = filepath.Join(filepath.Dir(document), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", document, err)
				continue
			}
			if anchor == "" {
				continue
			}
			exists := false
			for _, title := range heading.FindAllStringSubmatch(read(target), -1) {
				exists = exists || strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(title[1]), ""), " ", "-") == anchor
			}
			if !exists {
				t.Errorf("%s: want a heading %s", document, match[1])
			}
		}
	}
}

func TestJavaScriptToCopyParses(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		awstest.Missing(t, "node is not installed")
	}
	files, _ := filepath.Glob(filepath.Join(root, "examples/*/*.mjs"))
	if len(files) == 0 {
		t.Error("want files in examples")
	}
	const script = `for (const file of process.argv.slice(1)) new (require('vm').SourceTextModule)(require('fs').readFileSync(file, 'utf8'), { identifier: file })`
	args := append([]string{"--experimental-vm-modules", "--no-warnings", "-e", script}, files...)
	if out, err := exec.CommandContext(t.Context(), "node", args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
