package stack

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/cfn"
)

// A Target names the deployment that a command works on.
type Target struct {
	Getenv   func(string) string
	LoadAWS  func(context.Context) (aws.Config, error)
	Dir      string // template.yaml is here or in a folder above
	Program  string // how this program was started, os.Args[0]
	Progress func(format string, args ...any)
	Wait     func(context.Context, time.Duration) error // [Wait], but for tests

	Environment, StackName, ServiceURL string
	Outputs                            map[string]string // that replace the stack's
}

var environment = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`)

// Flags returns the flags that name the deployment.
func (t *Target) Flags() []cli.Flag {
	const category = "Deployment"
	return []cli.Flag{
		&cli.StringFlag{Name: "env", Category: category, Value: "dev", Destination: &t.Environment, Usage: "environment; the stack is chat-service-`ENV`",
			Validator: func(s string) error {
				if !environment.MatchString(s) {
					return errors.New("not the name of an environment: use up to 20 of a-z, 0-9 and -, not at either end")
				}
				return nil
			}},
		&cli.StringFlag{Name: "stack", Category: category, Destination: &t.StackName, Usage: "the stack's `NAME`, if it is not chat-service-ENV"},
		&cli.StringFlag{Name: "service-url", Category: category, Destination: &t.ServiceURL,
			Usage: "`URL` of the Service API instead of the stack's: a custom domain, or http://127.0.0.1:3001 for the development server",
			Validator: func(s string) error {
				if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
					return errors.New("not a URL: give one like https://api.example.com")
				}
				return nil
			}},
		&cli.StringMapFlag{Name: "output", Category: category, Destination: &t.Outputs, Usage: "`NAME=VALUE` instead of an output of the stack; may be repeated"},
	}
}

// targets are the commands that the Makefile has, too.
var targets = []string{"params", "deploy", "doctor", "plan", "apply", "pull", "rotate", "redrive"}

// CommandLine returns what to type to run one of this program's commands on the deployment:
// make's target in a checkout, otherwise this program as it was started.
func (t *Target) CommandLine(command string) string {
	flags := ""
	if !t.Local() {
		flags += " -env " + t.Environment
	}
	if t.StackName != "" {
		flags += " -stack " + t.StackName
	}
	program := cmp.Or(t.Program, "ops")
	if template, _, err := cfn.Read(t.Dir); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(template), "ops", "main.go")); err == nil {
			if t.StackName == "" && !t.Local() && slices.Contains(targets, command) {
				return "make " + command + " ENV=" + t.Environment
			}
			program = "go run ./ops"
		}
	}
	return program + " " + command + flags
}
