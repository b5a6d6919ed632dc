package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/cfn"
)

// maxSkew is how far this machine's clock may be off. AWS refuses signatures at five minutes.
const maxSkew = time.Minute

func (d *doctor) credentials(ctx context.Context) bool {
	cfg, who, err := d.aws(ctx)
	if err != nil {
		d.bad("credentials", "sign in (aws sso login), or set AWS_PROFILE and AWS_REGION; a clock that is wrong looks like this, too", "%v", err)
		return false
	}
	d.cfg, d.account = cfg, aws.ToString(who.Account)
	d.ok("credentials", "%s in %s", aws.ToString(who.Arn), cfg.Region)
	if server, ok := awsmiddleware.GetServerTime(who.ResultMetadata); ok {
		d.clock("AWS", server)
	}
	return true
}

func (d *doctor) clock(whose string, theirs time.Time) {
	if skew := time.Since(theirs).Round(time.Second); skew.Abs() > maxSkew {
		d.bad("clock", "set this machine's clock (NTP), or see who is right", "%s off that of %s", skew, whose)
	} else {
		d.ok("clock", "agrees with that of %s", whose)
	}
}

func (d *doctor) deployment(ctx context.Context) bool {
	s, err := d.describe(ctx, d.cfg)
	if err != nil {
		d.bad("stack", d.make("deploy"), "%v", err)
		return false
	}
	d.stack = s
	switch {
	case strings.Contains(s.status, "ROLLBACK") || strings.Contains(s.status, "FAILED"):
		d.bad("stack", "see why in the stack's events (aws cloudformation describe-stack-events --stack-name "+s.name+"), then "+d.make("deploy"), "%s: %s: the last deployment did not succeed", s.name, s.status)
	case strings.HasSuffix(s.status, "_COMPLETE") && !strings.HasPrefix(s.status, "DELETE"):
		d.ok("stack", "%s: %s", s.name, s.status)
	default:
		d.bad("stack", "wait until it is done", "%s: %s", s.name, s.status)
	}
	for _, name := range []string{"ClientApiUrl", "ServiceApiUrl", "WebhookUrl"} {
		if s.outputs[name] == "" {
			d.bad("stack", d.make("deploy"), "has no output %s: it is not this project's, or an old one", name)
			return false
		}
	}
	d.service = d.serviceAt(cmp.Or(d.serviceURL, s.outputs["ServiceApiUrl"]), &d.cfg)
	d.drift()
	return true
}

// drift compares the stack's parameters with those that the template and the
// choices in deploy/<env>.env would give it.
func (d *doctor) drift() {
	template, err := cfn.Find(".")
	if err != nil {
		d.skip("parameters", "%v", err)
		return
	}
	file, choices := d.choices(template)
	wanted, differ := maps.Clone(d.stack.parameters), []string{}
	for name, value := range choices {
		if wanted[name] != value {
			differ = append(differ, fmt.Sprintf("%s is %q, and %q in %s", name, wanted[name], value, file))
		}
		wanted[name] = value
	}
	for name := range template.Section("Parameters") {
		if _, ok := wanted[name]; !ok {
			differ = append(differ, name+" is not there yet")
		}
	}
	slices.Sort(differ)
	if _, err := template.Stack(cfn.Options{Parameters: wanted}); err != nil {
		d.bad("parameters", "correct "+file+", then "+d.make("deploy"), "%v", err)
	} else if len(differ) > 0 {
		d.bad("parameters", d.make("deploy")+", or put the stack's values there", "the stack differs from what would be deployed: %s", strings.Join(differ, "; "))
	} else {
		d.ok("parameters", "as template.yaml and %s have them", file)
	}
}

// values examines Parameter Store. Nothing of a value is printed.
func (d *doctor) values(ctx context.Context) {
	client, prefix := ssm.NewFromConfig(d.cfg), d.stack.prefix()
	have, err := stored(ctx, client, true, prefix+apiKey, prefix+apiSecret, prefix+previousSecret)
	decrypted := err == nil
	if err != nil { // the right to read the secret is not the operator's to have
		have, err = stored(ctx, client, false, prefix+apiKey, prefix+apiSecret, prefix+previousSecret)
	}
	if err != nil {
		d.bad("values", "ask for ssm:GetParameters on "+prefix+"/*", "cannot be read: %v", err)
		return
	}
	d.key = strings.TrimSpace(aws.ToString(have[prefix+apiKey].Value))
	for _, name := range []string{apiKey, apiSecret, previousSecret} {
		p, exists := have[prefix+name]
		kind := types.ParameterTypeSecureString
		if name == apiKey {
			kind = types.ParameterTypeString
		}
		switch value := aws.ToString(p.Value); {
		case !exists && name == previousSecret:
		case !exists:
			d.bad("values", d.make("params"), "%s does not exist", prefix+name)
		case p.Type != kind:
			d.bad("values", "delete it, then "+d.make("params"), "%s: want a %s, got a %s", prefix+name, kind, p.Type)
		case strings.TrimSpace(value) == "":
			d.bad("values", d.make("params"), "%s is empty", prefix+name)
		case strings.TrimSpace(value) != value && (decrypted || name == apiKey):
			d.bad("values", d.make("params"), "%s has blanks around it", prefix+name)
		case name == previousSecret:
			d.warn("values", d.make("rotate")+" ends it", "%s exists: a rotation is under way", prefix+name)
		default:
			d.ok("values", "%s: %s", prefix+name, p.Type)
		}
	}
	pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: aws.String(prefix + clientConfig), WithDecryption: new(true)})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			d.bad("values", "ask for ssm:GetParametersByPath on "+prefix+clientConfig, "%s: %v", prefix+clientConfig, reason(err))
			return
		}
		for _, p := range page.Parameters {
			n++
			if err := isObject(aws.ToString(p.Value)); err != nil {
				d.bad("values", d.make("params")+" writes it anew", "%s: want a JSON object, got something else: /config answers 500 for this client type", aws.ToString(p.Name))
			}
		}
	}
	d.ok("values", "%d client types below %s", n, prefix+clientConfig)
}

const (
	// What a small app needs in a busy minute. New accounts begin with 10.
	minConcurrency = 100
	highThroughput = "/ssm/parameter-store/high-throughput-enabled"
)

func (d *doctor) quotas(ctx context.Context) {
	out, err := lambda.NewFromConfig(d.cfg).GetAccountSettings(ctx, nil)
	switch {
	case err != nil:
		d.skip("quotas", "Lambda's: %v", reason(err))
	case out.AccountLimit == nil:
		d.skip("quotas", "Lambda's: want a limit, got none")
	case out.AccountLimit.ConcurrentExecutions < minConcurrency:
		d.bad("quotas", "ask for more in Service Quotas: Lambda, concurrent executions (L-B99A9384)",
			"Lambda runs %d requests at once in this account and region: want %d, or callers meet 429", out.AccountLimit.ConcurrentExecutions, minConcurrency)
	default:
		d.ok("quotas", "Lambda runs %d requests at once, %d of them reserved for nobody", out.AccountLimit.ConcurrentExecutions, aws.ToInt32(out.AccountLimit.UnreservedConcurrentExecutions))
	}
	setting, err := ssm.NewFromConfig(d.cfg).GetServiceSetting(ctx, &ssm.GetServiceSettingInput{SettingId: aws.String(highThroughput)})
	switch {
	case err != nil:
		d.skip("quotas", "Parameter Store's: %v", reason(err))
	case setting.ServiceSetting == nil || aws.ToString(setting.ServiceSetting.SettingValue) != "true":
		d.warn("quotas", "where more than 40 processes may start in one second: aws ssm update-service-setting --setting-id "+highThroughput+" --setting-value true",
			"Parameter Store answers 40 calls a second: high throughput, which is billed by the call, is off")
	default:
		d.ok("quotas", "Parameter Store has high throughput")
	}
}
