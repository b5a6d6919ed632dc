package doctor

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// functions examines the stack's functions, and those of the team's that they invoke.
func (d *doctor) functions(ctx context.Context) {
	d.resources = map[string]string{}
	pages := cloudformation.NewListStackResourcesPaginator(cloudformation.NewFromConfig(d.cfg), &cloudformation.ListStackResourcesInput{StackName: &d.stack.Name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if !d.asked("functions", "the stack's resources", "cloudformation:ListStackResources", err) {
			clear(d.resources) // some of them say nothing of the rest
			break
		}
		for _, r := range page.StackResourceSummaries {
			if r.ResourceStatus != cfntypes.ResourceStatusDeleteComplete {
				d.resources[aws.ToString(r.LogicalResourceId)] = aws.ToString(r.PhysicalResourceId)
			}
		}
	}
	found, good := 0, 0
	for _, name := range slices.Sorted(maps.Keys(d.resources)) {
		if function, ok := strings.CutSuffix(name, "FunctionAliaslive"); ok { // as SAM names it
			found++
			if d.own(ctx, strings.ToLower(function), d.resources[function+"Function"], d.version(function)) {
				good++
			}
		}
	}
	if good > 0 && good == found {
		d.ok("functions", "all %d may run, in the version that was deployed", good)
	}
	for _, name := range []string{"HookFunctionArn", "SignInFunctionArn"} {
		if function := d.stack.Parameters[name]; function != "" {
			what := name + " " + function
			if d.runs(ctx, what, what, function, "aws lambda delete-function-concurrency --function-name "+function) {
				d.ok("functions", "%s exists", what)
			}
		}
	}
}

// version returns the version of a function that the stack has published.
func (d *doctor) version(function string) string {
	for name, id := range d.resources {
		if strings.HasPrefix(name, function+"FunctionVersion") {
			return id[strings.LastIndex(id, ":")+1:]
		}
	}
	return ""
}

// own examines one of the stack's functions, and reports whether it is as deployed.
func (d *doctor) own(ctx context.Context, name, function, version string) bool {
	what := "the " + name + " function"
	if function == "" {
		d.bad("functions", "find out who removed it (CloudTrail), then deploy a new stack", "%s is no longer in the stack", what)
		return false
	}
	more := "aws lambda delete-function-concurrency --function-name " + function
	if name == "webhook" { // which has a reserve
		more = "aws lambda put-function-concurrency --function-name " + function + " --reserved-concurrent-executions N, as Size has it"
	}
	if !d.runs(ctx, what, what+" "+function, function, more) {
		return false
	}
	const alias = "live"
	out, err := lambda.NewFromConfig(d.cfg).GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &function, Name: aws.String(alias)})
	if !d.asked("functions", what+"'s alias "+alias, "lambda:GetAlias", err) {
		return false
	}
	point := fmt.Sprintf("aws lambda update-alias --function-name %s --name %s --function-version %s --routing-config AdditionalVersionWeights={}", function, alias, version)
	if out.RoutingConfig != nil {
		for other, weight := range out.RoutingConfig.AdditionalVersionWeights {
			d.warn("functions", "wait ten minutes; if it stays so, see the deployment in CodeDeploy, or "+point, "%.0f %% of %s's requests go to version %s: a deployment is under way, or was stopped", 100*weight, what, other)
			return false
		}
	}
	if now := aws.ToString(out.FunctionVersion); version != "" && now != version {
		d.warn("functions", "if somebody has rolled it back, deploy what is mended; otherwise "+point, "%s's alias %s points to version %s, and the stack deployed %s", what, alias, now, version)
		return false
	}
	return true
}

// runs examines whether a function may run. more lets it run more than 0 requests at once.
func (d *doctor) runs(ctx context.Context, what, long, function, more string) bool {
	client := lambda.NewFromConfig(d.cfg, func(o *lambda.Options) {
		if a, err := arn.Parse(function); err == nil { // one of the team's, which may be in another region
			o.Region = a.Region
		}
	})
	out, err := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &function})
	if !d.asked("functions", long, "lambda:GetFunction", err) {
		return false
	}
	c, n := out.Configuration, (*int32)(nil)
	if c == nil {
		c = &lambdatypes.FunctionConfiguration{}
	}
	if out.Concurrency != nil {
		n = out.Concurrency.ReservedConcurrentExecutions
	}
	switch {
	case c.State == lambdatypes.StateFailed:
		d.bad("functions", "deploy it again", "%s is in state %s: %s", what, c.State, aws.ToString(c.StateReason))
	case n != nil && *n == 0:
		d.bad("functions", more, "%s may run 0 requests at once", what)
	case c.LastUpdateStatus == lambdatypes.LastUpdateStatusFailed:
		d.bad("functions", "deploy it again", "the last update of %s failed: %s", what, aws.ToString(c.LastUpdateStatusReason))
	default:
		return true
	}
	return false
}

// mapping examines what reads a queue for the webhook function.
func (d *doctor) mapping(ctx context.Context, part, resource string) {
	id := d.resources[resource]
	if id == "" {
		return
	}
	out, err := lambda.NewFromConfig(d.cfg).GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: &id})
	if !d.asked(part, "the mapping "+id, "lambda:GetEventSourceMapping", err) {
		return
	}
	if state := aws.ToString(out.State); state == "Deleting" {
		d.bad(part, "find out who removes it (CloudTrail), then make it again: aws lambda create-event-source-mapping", "its mapping is being deleted: nobody will read it")
	} else if strings.HasPrefix(state, "Disabl") {
		d.bad(part, enable(id), "nobody reads it: its mapping is %s", state)
	} else if result := aws.ToString(out.LastProcessingResult); strings.HasPrefix(result, "PROBLEM") {
		d.bad(part, "see the log of the webhook function ("+path.Join("/aws/lambda", d.stack.Name, "webhook")+")", "its mapping says %s", result)
	}
}

func enable(mapping string) string {
	return "aws lambda update-event-source-mapping --enabled --uuid " + mapping
}
