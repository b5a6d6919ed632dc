package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// commandKey is of the command that a context is of.
type commandKey struct{}

// rights are the actions that docs/policies/operators.json allows, by the Sids' first words.
var rights = sync.OnceValues(func() (map[string][]string, error) {
	text, err := os.ReadFile("../docs/policies/operators.json")
	if err != nil {
		return nil, err
	}
	var policy struct {
		Statement []struct {
			Sid    string
			Action any
		}
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for _, s := range policy.Statement {
		command := strings.ToLower(regexp.MustCompile(`^[A-Z][a-z]+`).FindString(s.Sid))
		switch actions := s.Action.(type) {
		case string:
			all[command] = append(all[command], actions)
		case []any:
			for _, action := range actions {
				all[command] = append(all[command], action.(string))
			}
		}
	}
	return all, nil
})

var prefixes = map[string]string{"CloudFormation": "cloudformation", "CloudWatch": "cloudwatch", "EventBridge": "events", "KMS": "kms", "Lambda": "lambda", "S3": "s3", "SNS": "sns", "SQS": "sqs", "SSM": "ssm"}

// action returns the IAM action of a call, "" if it needs none.
func action(service, operation string) string {
	switch {
	case service == "STS":
		return ""
	case operation == "HeadBucket":
		operation = "ListBucket"
	case service == "SQS":
		operation = strings.TrimSuffix(operation, "Batch")
	}
	return prefixes[service] + ":" + operation
}

// withinRights lets a test fail whose command makes a call that the page does not allow it.
func withinRights(t testing.TB, ctx context.Context, cfg aws.Config) aws.Config {
	command, _ := ctx.Value(commandKey{}).(string)
	all, err := rights()
	if err != nil {
		t.Fatal(err)
	}
	cfg.APIOptions = append(cfg.APIOptions, func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("rights", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if a := action(awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)); a != "" && command != "" && !slices.Contains(append(slices.Clone(all["every"]), all[command]...), a) {
				t.Errorf("docs/policies/operators.json: want %s allowed for %s", a, command)
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
	return cfg
}

func TestOperatorsGetNoRightThatNoCommandUses(t *testing.T) {
	t.Parallel()
	all, err := rights()
	if err != nil {
		t.Fatal(err)
	}
	source := ""
	files, _ := filepath.Glob("*/*.go")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	for command, actions := range all {
		for _, a := range actions {
			_, operation, _ := strings.Cut(a, ":")
			if operation == "ListBucket" {
				operation = "HeadBucket"
			}
			if a != "logs:DescribeLogGroups" && !regexp.MustCompile(`\.(New)?`+operation+`(Batch|Paginator)?\(`).MatchString(source) { // which CloudFormation calls
				t.Errorf("%s: want a call for %s", command, a)
			}
		}
	}
}
