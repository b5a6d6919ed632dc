package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/cfn"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/values"
)

// maxSkew is the tolerance for this machine's clock. AWS refuses signatures at 5 minutes.
const maxSkew = time.Minute

func (d *doctor) credentials(ctx context.Context) bool {
	cfg, who, err := d.at.AWS(ctx)
	if err != nil {
		d.bad("credentials", "sign in (aws sso login), or set AWS_PROFILE and AWS_REGION; also check this machine's clock", "%v", err)
		return false
	}
	d.cfg = cfg
	if d.caller, err = arn.Parse(aws.ToString(who.Arn)); err != nil {
		d.bad("credentials", "check AWS_ENDPOINT_URL", "want an ARN from AWS, got %q", aws.ToString(who.Arn))
		return false
	}
	d.ok("credentials", "%s in %s", d.caller, cfg.Region)
	if server, ok := awsmiddleware.GetServerTime(who.ResultMetadata); ok {
		d.clock("AWS", server)
	}
	return true
}

func (d *doctor) clock(whose string, theirs time.Time) {
	if skew := time.Since(theirs).Round(time.Second); skew.Abs() > maxSkew {
		d.bad("clock", "set this machine's clock (NTP)", "%s off the clock of %s", skew, whose)
	} else {
		d.ok("clock", "agrees with the clock of %s", whose)
	}
}

func (d *doctor) deployment(ctx context.Context) bool {
	s, err := d.at.Describe(ctx, d.cfg)
	if err != nil {
		mend := "ask for the right cloudformation:DescribeStacks"
		if errors.Is(err, stack.ErrNoStack) {
			mend = d.make("deploy")
		}
		d.bad("stack", mend, "%v", err)
		return false
	}
	d.stack = s
	switch {
	case strings.Contains(s.Status, "ROLLBACK") || strings.Contains(s.Status, "FAILED"):
		d.bad("stack", "find the reason in its events (aws cloudformation describe-stack-events --stack-name "+s.Name+"), then "+d.make("deploy"), "%s: %s: the last deployment failed", s.Name, s.Status)
	case strings.HasSuffix(s.Status, "_COMPLETE") && !strings.HasPrefix(s.Status, "DELETE"):
		d.ok("stack", "%s: %s", s.Name, s.Status)
	default:
		d.bad("stack", "wait until the deployment is done", "%s: %s", s.Name, s.Status)
	}
	for _, name := range []string{"ClientApiUrl", "ServiceApiUrl", "WebhookUrl"} {
		if s.Outputs[name] == "" {
			d.bad("stack", d.make("deploy"), "%s has no output %s: it is of another project, or of an old version", s.Name, name)
			return false
		}
	}
	d.service = d.at.ServiceOf(s, &d.cfg)
	d.drift()
	return true
}

// drift compares the stack's parameters with those that make deploy would set.
func (d *doctor) drift() {
	template, err := cfn.Find(d.at.Dir)
	if err != nil {
		d.skip("parameters", "%v", err)
		return
	}
	settings, err := d.at.Settings(template)
	if err != nil {
		d.bad("parameters", "correct the file", "%v", err)
		return
	}
	file, choices := settings.File, settings.Parameters
	wanted, differ := maps.Clone(d.stack.Parameters), []string{}
	for name, value := range choices {
		if wanted[name] != value {
			differ = append(differ, fmt.Sprintf("%s is %q, but %q in %s", name, wanted[name], value, file))
		}
		wanted[name] = value
	}
	for name := range template.Section("Parameters") {
		if _, ok := wanted[name]; !ok {
			differ = append(differ, name+" is new in template.yaml")
		}
	}
	slices.Sort(differ)
	if _, err := template.Stack(cfn.Options{Parameters: wanted}); err != nil {
		d.bad("parameters", "correct "+file+", then "+d.make("deploy"), "%v", err)
	} else if len(differ) > 0 {
		d.bad("parameters", d.make("deploy")+", or put the stack's values into "+file, "the next deployment would change them: %s", strings.Join(differ, "; "))
	} else {
		d.ok("parameters", "match template.yaml and %s", file)
	}
}

// values examines Parameter Store and prints no value.
func (d *doctor) values(ctx context.Context) {
	client, prefix := ssm.NewFromConfig(d.cfg), d.stack.Prefix()
	names := []string{prefix + values.Key, prefix + values.Secret, prefix + values.PreviousSecret}
	have, err := values.Stored(ctx, client, true, names...)
	decrypted := err == nil
	if !decrypted { // an operator may not be allowed to read the secret
		have, err = values.Stored(ctx, client, false, names...)
	}
	if err != nil {
		d.bad("values", "ask for ssm:GetParameters on "+prefix+"/*", "cannot be read: %v", err)
		return
	}
	d.key = strings.TrimSpace(aws.ToString(have[prefix+values.Key].Value))
	for _, name := range names {
		p, exists := have[name]
		kind := types.ParameterTypeSecureString
		if name == prefix+values.Key {
			kind = types.ParameterTypeString
		}
		switch value := aws.ToString(p.Value); {
		case !exists && name == prefix+values.PreviousSecret:
		case !exists:
			d.bad("values", d.make("params"), "%s does not exist", name)
		case p.Type != kind:
			d.bad("values", "delete it, then "+d.make("params"), "%s: want a %s, got a %s", name, kind, p.Type)
		case strings.TrimSpace(value) == "":
			d.bad("values", d.make("params"), "%s is empty", name)
		case strings.TrimSpace(value) != value && (decrypted || name == prefix+values.Key):
			d.bad("values", d.make("params"), "%s begins or ends with white space", name)
		case name == prefix+values.PreviousSecret:
			d.warn("values", d.make("rotate")+" finishes it", "%s exists: a rotation is under way", name)
		default:
			d.ok("values", "%s: %s", name, p.Type)
		}
	}
	pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: aws.String(prefix + values.ClientConfig), WithDecryption: new(true)})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			d.bad("values", "ask for ssm:GetParametersByPath on "+prefix+values.ClientConfig, "%s: %v", prefix+values.ClientConfig, stack.Reason(err))
			return
		}
		for _, p := range page.Parameters {
			n++
			if err := values.CheckObject(aws.ToString(p.Value)); err != nil {
				d.bad("values", d.make("params"), "%s: /config answers 500 for this client type: %v", aws.ToString(p.Name), err)
			}
		}
	}
	d.ok("values", "%d client types below %s", n, prefix+values.ClientConfig)
}

const (
	// Enough for a small app in a busy minute. New accounts have 10.
	minConcurrency = 100
	highThroughput = "/ssm/parameter-store/high-throughput-enabled"
)

func (d *doctor) quotas(ctx context.Context) {
	out, err := lambda.NewFromConfig(d.cfg).GetAccountSettings(ctx, nil)
	switch {
	case err != nil:
		d.skip("quotas", "Lambda's: %v", stack.Reason(err))
	case out.AccountLimit == nil:
		d.skip("quotas", "Lambda's: want a limit, got none")
	case out.AccountLimit.ConcurrentExecutions < minConcurrency:
		d.bad("quotas", "ask for more in Service Quotas: Lambda, concurrent executions (L-B99A9384)",
			"Lambda runs %d requests at once in this account and region: want at least %d, or callers get 429", out.AccountLimit.ConcurrentExecutions, minConcurrency)
	default:
		d.ok("quotas", "Lambda runs %d requests at once, %d of them unreserved", out.AccountLimit.ConcurrentExecutions, aws.ToInt32(out.AccountLimit.UnreservedConcurrentExecutions))
	}
	setting, err := ssm.NewFromConfig(d.cfg).GetServiceSetting(ctx, &ssm.GetServiceSettingInput{SettingId: aws.String(highThroughput)})
	switch {
	case err != nil:
		d.skip("quotas", "Parameter Store's: %v", stack.Reason(err))
	case setting.ServiceSetting == nil || aws.ToString(setting.ServiceSetting.SettingValue) != "true":
		d.warn("quotas", "if more than 40 processes may start in one second: aws ssm update-service-setting --setting-id "+highThroughput+" --setting-value true",
			"Parameter Store answers 40 calls a second: high throughput, which is billed per call, is off")
	default:
		d.ok("quotas", "Parameter Store has high throughput")
	}
}
