package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"chat-service-backend/ops/cfn"
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
	case errors.As(err, new(stack.FileError)):
		d.bad("parameters", "correct the file", "%v", err)
		return
	case err != nil && d.at.ServiceURL != "":
		d.skip("credentials", "none for AWS, so only what anybody may call is checked: %v", err)
		return
	case errors.Is(err, stack.ErrUnreachable):
		d.bad("credentials", "then run the doctor again", "%v", err)
		return
	case err != nil:
		d.bad("credentials", "sign in (aws sso login), or set AWS_PROFILE and AWS_REGION", "%v", err)
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
		mend := advice(err)
		switch {
		case stack.Denied(err):
			mend = "ask for the right cloudformation:DescribeStacks"
		case errors.Is(err, stack.ErrNoStack):
			mend = "is it in another region (AWS_REGION) or account? If it was never deployed: " + d.again("deploy")
		}
		d.bad("stack", mend, "%v", err)
		return
	}
	events := "find the reason in its events (aws cloudformation describe-stack-events --stack-name " + s.Name + "), then "
	switch {
	case s.Status == "REVIEW_IN_PROGRESS":
		d.bad("stack", d.again("deploy"), "%s: %s: it was never made, and there is a change set that nobody has executed", s.Name, s.Status)
		return
	case s.Status == "UPDATE_ROLLBACK_FAILED":
		d.bad("stack", events+"aws cloudformation continue-update-rollback --stack-name "+s.Name+", then "+d.again("deploy"), "%s: %s: nothing can be deployed before the rollback has ended", s.Name, s.Status)
	case s.Status == "ROLLBACK_COMPLETE" || s.Status == "ROLLBACK_FAILED" || s.Status == "CREATE_FAILED" || s.Status == "DELETE_FAILED":
		d.bad("stack", events+"aws cloudformation delete-stack --stack-name "+s.Name+", then "+d.again("deploy"), "%s: %s: such a stack cannot be updated", s.Name, s.Status)
	case strings.HasSuffix(s.Status, "ROLLBACK_COMPLETE") || strings.Contains(s.Status, "FAILED"):
		d.bad("stack", events+d.again("deploy"), "%s: %s: the last deployment failed", s.Name, s.Status)
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
	have, secret := values.Stored(ctx, client, true, names...)
	decrypted, err := secret == nil, secret
	if !decrypted { // an operator may not be allowed to read the secret
		have, err = values.Stored(ctx, client, false, names...)
	}
	if !d.asked("values", prefix+"/stream", "ssm:GetParameters", err) {
		return
	}
	if !decrypted && !stack.Denied(secret) && !stack.Throttled(secret) {
		d.bad("values", "look at the KMS key: "+kmsCommand(d.stack.Parameters["KmsKeyArn"]), "the secret cannot be decrypted: %v", secret)
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
	if ttl, _ := strconv.Atoi(d.stack.Parameters["ParameterTtl"]); ttl > maxTTL {
		d.warn("values", "set ParameterTtl, as to 300, then "+d.again("deploy"), "ParameterTtl is %d: a rotated secret takes effect after up to %s", ttl, time.Duration(ttl)*time.Second)
	}
	if _, ok := have[prefix+values.Secret]; ok {
		d.encryption(ctx, client, prefix+values.Secret)
	}
	d.clientConfigs(ctx, client)
}

// maxTTL is the longest ParameterTtl that an operator can wait for, in seconds.
const maxTTL = 3600

// encryption compares the key that encrypts the secret with the one that the functions may
// use.
func (d *doctor) encryption(ctx context.Context, client *ssm.Client, name string) {
	out, err := client.DescribeParameters(ctx, &ssm.DescribeParametersInput{
		ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Name"), Option: aws.String("Equals"), Values: []string{name}}},
	})
	if !d.asked("values", name, "ssm:DescribeParameters", err) || len(out.Parameters) == 0 {
		return
	}
	const standard = "alias/aws/ssm"
	has, may := aws.ToString(out.Parameters[0].KeyId), cmp.Or(d.stack.Parameters["KmsKeyArn"], standard)
	if has == "" || has == may || strings.HasSuffix(may, "/"+has) {
		return
	}
	if strings.Contains(has, "alias/") && has != standard && may != standard { // whose?
		key, err := kms.NewFromConfig(d.cfg).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &has})
		if !d.asked("values", "the KMS key "+has, "kms:DescribeKey", err) || key.KeyMetadata != nil && aws.ToString(key.KeyMetadata.Arn) == may {
			return
		}
	}
	d.bad("values", d.again("params")+", which encrypts with the stack's key", "%s is encrypted with %s, and the functions may use only %s", name, has, may)
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
		do := "aws kms enable-key --key-id " + key
		switch kmstypes.KeyState(state) {
		case kmstypes.KeyStateDisabled:
		case kmstypes.KeyStatePendingDeletion:
			do = "aws kms cancel-key-deletion --key-id " + key + ", then " + do
		default: // such as one whose material is not there
			do = "ask whoever runs the key to make it usable: " + kmsCommand(key)
		}
		d.bad("key", do, "the KMS key %s is %s, so no function can read the secret", key, state)
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
	const least, most = 60, 31 * 24 * 3600 // seconds
	life := d.stack.Parameters["ExpirationTokenDuration"]
	if n, err := strconv.Atoi(life); err == nil && n < least {
		d.warn("tokens", "set ExpirationTokenDuration, as to 3600, then "+d.again("deploy"), "user tokens expire after %s s: clients ask for new ones all the time, and a slow one never connects", life)
	} else if err == nil && n > most {
		d.warn("tokens", "set ExpirationTokenDuration, as to 3600, then "+d.again("deploy"), "user tokens expire after %d days: whoever gets one stays that user until then", n/(24*3600))
	} else if life == "" {
		d.warn("tokens", "set ExpirationTokenDuration, as to 3600, then "+d.again("deploy"), "user tokens never expire: whoever gets one stays that user until the secret is rotated")
	} else {
		d.ok("tokens", "user tokens expire after %s s", life)
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
