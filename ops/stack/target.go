package stack

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/urfave/cli/v3"
)

// A Target names the deployment that a command works on.
type Target struct {
	Getenv   func(string) string
	LoadAWS  func(context.Context) (aws.Config, error)
	Dir      string // template.yaml is here or in a folder above
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
			Usage: "`URL` of the Service API instead of the stack's: a custom domain, or http://127.0.0.1:3001 for make run",
			Validator: func(s string) error {
				if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
					return errors.New("not a URL: give one like https://api.example.com")
				}
				return nil
			}},
		&cli.StringMapFlag{Name: "output", Category: category, Destination: &t.Outputs, Usage: "`NAME=VALUE` instead of an output of the stack; may be repeated"},
	}
}
