// Package deploy deploys the stack of one environment, from the source or from a
// release, with the SAM CLI or, from a release, the AWS CLI.
package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/urfave/cli/v3"

	"chat-service-backend/ops/cfn"
	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
)

// Command is the command that deploys.
func Command(c *console.Console, at *stack.Target) *cli.Command {
	return &cli.Command{
		Name:        "deploy",
		Usage:       "deploys the stack with the settings in deploy/ENV.env",
		Description: "ops deploy -env prod",
		Action: func(ctx context.Context, _ *cli.Command) error {
			template, err := cfn.Find(at.Dir)
			if err != nil {
				return err
			}
			d := &deployment{Console: c, at: at, template: template}
			return d.run(ctx)
		},
	}
}

type deployment struct {
	*console.Console
	at         *stack.Target
	template   *cfn.Template
	account    string
	region     string
	production bool
	parameters []string // Name=Value
}

func (d *deployment) run(ctx context.Context) error {
	settings, err := d.at.Settings(d.template)
	if err != nil {
		return err
	}
	if !settings.Exists {
		d.Progress("There is no %s: the stack keeps its parameters or gets the defaults (deploy/sample.env shows what to set)", settings.File)
	}
	cfg, who, err := d.at.AWS(ctx)
	if err != nil {
		return err
	}
	d.account, d.region = aws.ToString(who.Account), cfg.Region
	name := d.at.Name()
	d.Progress("Account %s, region %s, stack %s", d.account, d.region, name)
	existing, err := d.at.Describe(ctx, cfg)
	switch {
	case errors.Is(err, stack.ErrNoStack):
		existing = nil
	case err != nil:
		return err
	case existing.Status == "REVIEW_IN_PROGRESS": // a change set that nobody has confirmed
		existing = nil
	case strings.HasSuffix(existing.Status, "_IN_PROGRESS"):
		return fmt.Errorf("%s is %s, perhaps by somebody else: deploy again once it is done, which %s says", name, existing.Status, d.at.CommandLine("doctor"))
	case existing.Status == "ROLLBACK_COMPLETE":
		return fmt.Errorf("the first deployment of %s failed, and such a stack cannot be updated: delete it (aws cloudformation delete-stack --stack-name %s) and deploy again", name, name)
	}
	if err := d.choose(settings, existing); err != nil {
		return err
	}
	sam, samErr := exec.LookPath("sam")
	cli, awsErr := exec.LookPath("aws")
	_, source := d.template.Section("Globals")["Function"].(map[string]any)["CodeUri"]
	switch {
	case samErr == nil:
		return d.withSAM(ctx, sam, source)
	case source:
		return errors.New("the command sam is not in PATH: install the SAM CLI, which builds the functions, or deploy a release")
	case awsErr == nil:
		return d.withAWS(ctx, cli, existing != nil)
	}
	return errors.New("neither sam nor aws is in PATH: install the SAM CLI or the AWS CLI")
}

// choose sets the parameters: those in the file, and for a new stack the defaults of
// its kind. A parameter that is not among them keeps the value that the stack has.
func (d *deployment) choose(settings *stack.Settings, existing *stack.Stack) error {
	chosen := settings.Parameters
	kind, said := chosen["Environment"]
	if existing != nil {
		kind = cmp.Or(kind, existing.Parameters["Environment"])
	} else if !said && strings.Contains(d.at.Environment, "prod") {
		return fmt.Errorf("%s does not say whether this is production: add the line Environment=prod or Environment=dev", settings.File)
	}
	d.production = kind == "prod"
	defaults := map[string]string{}
	if existing == nil {
		if d.production {
			defaults["Environment"], defaults["RetentionDays"] = "prod", "90"
		} else {
			defaults["Environment"], defaults["RetentionDays"], defaults["LogLevel"] = "dev", "7", "DEBUG"
		}
	}
	all := map[string]string{}
	if existing != nil {
		for name, value := range existing.Parameters {
			if _, known := d.template.Section("Parameters")[name]; known {
				all[name] = value
			}
		}
	}
	for _, values := range []map[string]string{defaults, chosen} {
		for name, value := range values {
			all[name] = value
		}
	}
	if _, err := d.template.Stack(cfn.Options{Region: d.region, Account: d.account, StackName: d.at.Name(), Parameters: all}); err != nil {
		return fmt.Errorf("%s: %w", settings.File, err)
	}
	for name, value := range defaults {
		if _, ok := chosen[name]; !ok {
			d.parameters = append(d.parameters, name+"="+value)
		}
	}
	for name, value := range chosen {
		d.parameters = append(d.parameters, name+"="+value)
	}
	slices.Sort(d.parameters)
	return nil
}

// asks reports whether somebody must agree to the changes.
func (d *deployment) asks() bool { return d.production && !d.Yes && d.at.Getenv("CI") != "true" }

// command returns a command that runs beside the template, in the same region.
func (d *deployment) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = d.template.Dir
	c.Env = append(os.Environ(), "AWS_REGION="+d.region, "AWS_DEFAULT_REGION="+d.region, "AWS_PAGER=", "SAM_CLI_TELEMETRY=0")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, d.Err, d.Err
	return c
}

func (d *deployment) do(ctx context.Context, name string, args ...string) error {
	if err := d.command(ctx, name, args...).Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args[:2], " "), err)
	}
	return nil
}

func (d *deployment) withSAM(ctx context.Context, sam string, source bool) error {
	if source {
		if err := d.do(ctx, sam, "build", "--region", d.region); err != nil {
			return err
		}
	}
	name := d.at.Name()
	confirm := "--no-confirm-changeset"
	if d.asks() {
		confirm = "--confirm-changeset"
	}
	args := []string{"deploy", "--stack-name", name, "--s3-prefix", name, confirm}
	if len(d.parameters) > 0 { // which the SAM CLI wants to have values
		args = append(args, "--parameter-overrides")
		for _, parameter := range d.parameters {
			name, value, _ := strings.Cut(parameter, "=")
			args = append(args, name+`="`+value+`"`) // without quotes it would reject an empty one
		}
	}
	return d.do(ctx, sam, args...)
}

var changeSet = regexp.MustCompile(`arn:\S+:changeSet/\S+`)

func (d *deployment) withAWS(ctx context.Context, cli string, exists bool) error {
	name, bucket := d.at.Name(), "chat-service-artifacts-"+d.account+"-"+d.region
	look := d.command(ctx, cli, "s3api", "head-bucket", "--bucket", bucket, "--expected-bucket-owner", d.account)
	look.Stdout, look.Stderr = io.Discard, io.Discard
	if look.Run() != nil {
		if err := d.do(ctx, cli, "s3", "mb", "s3://"+bucket); err != nil {
			return fmt.Errorf("a bucket for the functions' code: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "deploy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	packaged := filepath.Join(dir, "template.yaml")
	if err := d.do(ctx, cli, "cloudformation", "package", "--template-file", "template.yaml", "--s3-bucket", bucket, "--s3-prefix", name, "--output-template-file", packaged); err != nil {
		return err
	}
	args := []string{"cloudformation", "deploy", "--template-file", packaged, "--stack-name", name, "--s3-bucket", bucket, "--s3-prefix", name,
		"--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset"}
	if len(d.parameters) > 0 {
		args = append(append(args, "--parameter-overrides"), d.parameters...)
	}
	if !d.asks() {
		return d.do(ctx, cli, args...)
	}
	var out bytes.Buffer
	plan := d.command(ctx, cli, append(args, "--no-execute-changeset")...)
	plan.Stdout = io.MultiWriter(&out, d.Err)
	if err := plan.Run(); err != nil {
		return fmt.Errorf("aws cloudformation deploy: %w", err)
	}
	id := changeSet.FindString(out.String())
	if id == "" {
		return nil // nothing changes
	}
	if err := d.do(ctx, cli, "cloudformation", "describe-change-set", "--change-set-name", id, "--output", "table",
		"--query", "Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]"); err != nil {
		return err
	}
	if yes, err := d.Confirm(ctx, "Make these changes?"); err != nil || !yes {
		return errors.Join(err, d.do(ctx, cli, "cloudformation", "delete-change-set", "--change-set-name", id))
	}
	if err := d.do(ctx, cli, "cloudformation", "execute-change-set", "--change-set-name", id); err != nil {
		return err
	}
	wait := "stack-create-complete"
	if exists {
		wait = "stack-update-complete"
	}
	return d.do(ctx, cli, "cloudformation", "wait", wait, "--stack-name", name)
}
