package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/internal/cfn"
	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/ops/values"
)

// maxSkew is the tolerance for this machine's clock. AWS refuses signatures at 5 minutes.
const maxSkew = time.Minute

func (d *doctor) credentials(ctx context.Context) {
	if d.at.Local() {
		return
	}
	cfg, who, err := d.at.AWS(ctx)
	switch {
	case err != nil && d.at.ServiceURL != "":
		d.skip("credentials", "none for AWS, so only what anybody may call is checked: %v", err)
		return
	case err != nil:
		d.bad("credentials", "sign in (aws sso login), or set AWS_PROFILE and AWS_REGION; also check this machine's clock", "%v", err)
		return
	}
	if d.caller, err = arn.Parse(aws.ToString(who.Arn)); err != nil {
		d.bad("credentials", "check AWS_ENDPOINT_URL", "what answers for AWS names no ARN, but %q", aws.ToString(who.Arn))
		return
	}
	d.cfg = cfg
	d.has |= account
	d.service = d.at.ServiceOf(d.stack, &d.cfg)
	d.ok("credentials", "%s in %s", d.caller.String(), cfg.Region)
	if server, ok := awsmiddleware.GetServerTime(who.ResultMetadata); ok {
		d.clock("AWS", server)
	}
}

func (d *doctor) clock(whose string, theirs time.Time) {
	if skew := time.Since(theirs).Round(time.Second); skew.Abs() > maxSkew {
		d.bad("clock", "set this machine's clock (NTP)", "%s off the clock of %s", skew, whose)
	} else {
		d.ok("clock", "agrees with the clock of %s", whose)
	}
}

func (d *doctor) deployment(ctx context.Context) {
	s, err := d.at.Describe(ctx, d.cfg)
	if err != nil {
		mend := "ask for the right cloudformation:DescribeStacks"
		if errors.Is(err, stack.ErrNoStack) {
			mend = d.again("deploy")
		}
		d.bad("stack", mend, "%v", err)
		return
	}
	switch {
	case strings.Contains(s.Status, "ROLLBACK") || strings.Contains(s.Status, "FAILED"):
		d.bad("stack", "find the reason in its events (aws cloudformation describe-stack-events --stack-name "+s.Name+"), then "+d.again("deploy"), "%s: %s: the last deployment failed", s.Name, s.Status)
	case strings.HasSuffix(s.Status, "_COMPLETE") && !strings.HasPrefix(s.Status, "DELETE"):
		d.ok("stack", "%s: %s", s.Name, s.Status)
	default:
		d.bad("stack", "wait until the deployment is done", "%s: %s", s.Name, s.Status)
	}
	for _, name := range []string{"ClientApiUrl", "ServiceApiUrl", "WebhookUrl"} {
		if s.Outputs[name] == "" {
			d.bad("stack", d.again("deploy"), "%s has no output %s: it is of another project, or of an old version", s.Name, name)
			return
		}
	}
	d.stack, d.service = s, d.at.ServiceOf(s, &d.cfg)
	d.has |= deployed
}

// drift compares the stack's parameters with those that the next deployment would set.
func (d *doctor) drift(context.Context) {
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
		d.bad("parameters", "correct "+file+", then "+d.again("deploy"), "%v", err)
	} else if len(differ) > 0 {
		d.bad("parameters", d.again("deploy")+", or put the stack's values into "+file, "the next deployment would change them: %s", strings.Join(differ, "; "))
	} else {
		d.ok("parameters", "match template.yaml and %s", file)
	}
}

// values examines Parameter Store and prints no value.
func (d *doctor) values(ctx context.Context) {
	client, prefix := ssm.NewFromConfig(d.cfg), d.stack.Prefix()
	names := []string{prefix + values.Key, prefix + values.Secret, prefix + values.PreviousKey, prefix + values.PreviousSecret}
	have, err := values.Stored(ctx, client, true, names...)
	decrypted := err == nil
	if !decrypted { // an operator may not be allowed to read the secret
		if !stack.Denied(err) {
			d.bad("values", "look at the KMS key: "+kmsCommand(d.stack.Parameters["KmsKeyArn"]), "the secret cannot be decrypted: %v", err)
		}
		have, err = values.Stored(ctx, client, false, names...)
	}
	if !d.asked("values", prefix+"/stream", "ssm:GetParameters", err) {
		return
	}
	text := func(name string) string { return aws.ToString(have[prefix+name].Value) }
	d.key = strings.TrimSpace(text(values.Key))
	for _, name := range names {
		p, exists := have[name]
		isKey := name == prefix+values.Key || name == prefix+values.PreviousKey
		previous := name == prefix+values.PreviousKey || name == prefix+values.PreviousSecret
		kind, wrong := types.ParameterTypeSecureString, error(nil)
		if value := strings.TrimSpace(aws.ToString(p.Value)); isKey {
			kind, wrong = types.ParameterTypeString, values.CheckKey(value)
		} else if decrypted {
			wrong = values.CheckSecret(d.key, value)
		}
		switch {
		case !exists && previous:
		case !exists:
			d.bad("values", d.again("params"), "%s does not exist", name)
		case p.Type != kind:
			d.bad("values", "delete it, then "+d.again("params"), "%s is a %s and must be a %s", name, p.Type, kind)
		case wrong != nil:
			d.bad("values", d.again("params"), "%s: %v", name, wrong)
		case strings.TrimSpace(aws.ToString(p.Value)) != aws.ToString(p.Value) && (decrypted || isKey):
			d.bad("values", d.again("params"), "%s begins or ends with white space", name)
		case previous:
			d.warn("values", d.again("rotate")+" finishes it", "%s exists: a rotation is under way", name)
		default:
			d.ok("values", "%s: %s", name, p.Type)
		}
	}
	d.clientConfigs(ctx, client)
}

func (d *doctor) clientConfigs(ctx context.Context, client *ssm.Client) {
	all, n := d.stack.Prefix(), 0
	below := all + values.ClientConfig + "/"
	pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: &all, Recursive: aws.Bool(true), WithDecryption: aws.Bool(false)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if !d.asked("values", all, "ssm:GetParametersByPath", err) {
			return
		}
		for _, p := range page.Parameters {
			name := aws.ToString(p.Name)
			rest := strings.TrimPrefix(name, all+"/")
			first, _, _ := strings.Cut(rest, "/")
			switch clientType, ok := strings.CutPrefix(name, below); {
			case ok && strings.Contains(clientType, "/"):
				d.bad("values", "move it right below "+below, "%s is read by no function: a client type has no slash", name)
			case ok && p.Type == types.ParameterTypeSecureString:
				d.bad("values", "delete it, then "+d.again("params"), "%s is a SecureString and must be a String", name)
			case ok:
				n++
				if err := values.CheckObject(aws.ToString(p.Value)); err != nil {
					d.bad("values", d.again("params"), "%s: /config answers 500 for this client type: %v", name, err)
				}
			case slices.Contains([]string{values.Key, values.Secret, values.PreviousKey, values.PreviousSecret}, "/"+rest):
			case strings.Contains(rest, values.ClientConfig+"/") || strings.Contains(rest, "/stream/"): // of an environment below this one
			case strings.Contains(strings.ToLower(first), "conf") || console.Nearest(first, "client-config") != "":
				d.bad("values", "move it below "+below, "%s is read by no function: is client-config misspelt?", name)
			case console.Nearest(first, "stream") != "":
				d.bad("values", d.again("params"), "%s is read by no function: is the name misspelt?", name)
			}
		}
	}
	d.ok("values", "%d client types below %s", n, all+values.ClientConfig)
}

func kmsCommand(key string) string {
	if key == "" {
		key = "alias/aws/ssm"
	}
	return "aws kms describe-key --key-id " + key
}

// kmsKey examines the key that encrypts the secret.
func (d *doctor) kmsKey(ctx context.Context) {
	key := d.stack.Parameters["KmsKeyArn"]
	if key == "" {
		return
	}
	out, err := kms.NewFromConfig(d.cfg).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	if !d.asked("key", "the KMS key "+key, "kms:DescribeKey", err) {
		return
	}
	if out.KeyMetadata == nil || out.KeyMetadata.KeyState != kmstypes.KeyStateEnabled {
		state := "unknown"
		if out.KeyMetadata != nil {
			state = string(out.KeyMetadata.KeyState)
		}
		d.bad("key", "enable it, or cancel its deletion: aws kms enable-key --key-id "+key, "the KMS key %s is %s, so no function can read the secret", key, state)
		return
	}
	d.ok("key", "%s is enabled", key)
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
		d.skip("quotas", "Lambda answers without a limit")
	case out.AccountLimit.ConcurrentExecutions < minConcurrency:
		d.bad("quotas", "ask for more in Service Quotas: Lambda, concurrent executions (L-B99A9384)",
			"Lambda runs only %d requests at once in this account and region: with less than %d, callers get 429", out.AccountLimit.ConcurrentExecutions, minConcurrency)
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

func (d *doctor) tokens(context.Context) {
	if d.stack.Parameters["ExpirationTokenDuration"] == "" {
		d.warn("tokens", "set ExpirationTokenDuration, as to 3600, then "+d.again("deploy"), "user tokens never expire: whoever gets one stays that user until the secret is rotated")
	} else {
		d.ok("tokens", "user tokens expire after %s s", d.stack.Parameters["ExpirationTokenDuration"])
	}
}

// functions examines the team's own functions, which ours invoke.
func (d *doctor) functions(ctx context.Context) {
	for _, name := range []string{"HookFunctionArn", "SignInFunctionArn"} {
		function := d.stack.Parameters[name]
		if function == "" {
			continue
		}
		out, err := lambda.NewFromConfig(d.cfg).GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &function})
		if !d.asked("functions", name+" "+function, "lambda:GetFunction", err) {
			continue
		}
		switch {
		case out.Configuration != nil && out.Configuration.State == lambdatypes.StateFailed:
			d.bad("functions", "deploy it again", "%s %s is in state %s", name, function, out.Configuration.State)
		case out.Concurrency != nil && aws.ToInt32(out.Concurrency.ReservedConcurrentExecutions) == 0 && out.Concurrency.ReservedConcurrentExecutions != nil:
			d.bad("functions", "aws lambda delete-function-concurrency --function-name "+function, "%s %s may run 0 requests at once", name, function)
		default:
			d.ok("functions", "%s %s exists", name, function)
		}
	}
}

// regional matches the host of Stream's REST API in one region.
var regional = regexp.MustCompile(`//chat(?:-proxy)?-([a-z]+(?:-[a-z0-9]+)*)\.stream-io-api\.com`)

// region returns where StreamBaseUrl is, if it is somewhere else than the app.
func (d *doctor) region() string {
	m := regional.FindStringSubmatch(d.stack.Parameters["StreamBaseUrl"])
	placement := strings.ToLower(placementOf(d.app))
	if m == nil || placement == "" || strings.Contains(placement, m[1]) || strings.Contains(m[1], placement) {
		return ""
	}
	return m[1]
}
