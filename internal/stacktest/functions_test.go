package stacktest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFunctionsGetTheSettingsTheyReadAndNoCredential(t *testing.T) {
	t.Parallel()
	shared := []string{"PARAMETER_PREFIX=/acme/prod/chat", "PARAMETER_TTL=7", "GOMAXPROCS=1"}
	caller := []string{"OIDC_ISSUER=https://i", "OIDC_AUDIENCE=a", "OIDC_DISCOVERY_URL=https://d", "USER_ID_CLAIM=c",
		"OIDC_JWKS_URL=https://k", "OIDC_KEY_MAX_AGE=63", "MAX_TOKEN_LIFETIME=62", "REQUIRED_CLAIMS=p=v", "CREATE_USERS=false", "REFUSE_USERS=banned", "USER_INFO=true", "SIGN_IN_FUNCTION_ARN=" + signInARN, "SIGN_IN_FAIL_CLOSED=false",
		"SYNC_USERS=true", "USER_FIELDS=n=c", "STREAM_BASE_URL=https://s", "TOKENS_PER_MINUTE=300", "EXPIRATION_TOKEN_DURATION=9"}
	want := map[string][]string{
		"Token":  caller,
		"ApiKey": nil,
		"Config": slices.Concat(caller, []string{"USERID_HEADER_KEY=h", "ERROR_OBJ_KEY=e"}),
		"Webhook": {"EVENT_BUS_NAME=ChatEventBus", "FALLBACK_QUEUE_URL=FallbackQueue", "LARGE_EVENTS_BUCKET=LargeEventsBucket",
			"HOOK_FUNCTION_ARN=" + hookARN, "HOOK_TIMEOUT_MS=900", "HOOK_FAIL_CLOSED=true"},
		"Proxy": {"STREAM_BASE_URL=https://s"},
	}
	s := translate(t, full...)
	if all := s.all("AWS::Lambda::Function"); len(all) != len(functions) {
		t.Errorf("want %d functions, got %q", len(functions), sortedKeys(all))
	}
	for id := range functions {
		f := s.get(id + "Function")
		var got []string
		for key, value := range dig(f, "Environment", "Variables").(object) {
			got = append(got, key+"="+value.(string))
		}
		same(t, id, got, slices.Concat(shared, want[id]))
		for _, property := range []struct{ got, want any }{
			{dig(f, "Runtime"), "provided.al2023"},
			{dig(f, "Handler"), "bootstrap"},
			{dig(f, "Architectures"), "[arm64]"},
			{dig(f, "Role"), id + "Role.Arn"},
			{dig(f, "LoggingConfig"), "map[ApplicationLogLevel:INFO LogFormat:JSON LogGroup:" + id + "LogGroup SystemLogLevel:WARN]"},
		} {
			if got := fmt.Sprint(property.got); got != property.want {
				t.Errorf("%s: want %v, got %s", id, property.want, got)
			}
		}
	}
}

func TestEveryLogGroupHasTheRetentionFromTheParameter(t *testing.T) {
	t.Parallel()
	var groups []string
	for _, group := range translate(t, full...).all("AWS::Logs::LogGroup") {
		groups = append(groups, fmt.Sprint(group["LogGroupName"], " ", group["RetentionInDays"]))
	}
	same(t, "log groups", groups, []string{
		"/aws/lambda/chat/token 14", "/aws/lambda/chat/apikey 14", "/aws/lambda/chat/config 14", "/aws/lambda/chat/webhook 14", "/aws/lambda/chat/proxy 14",
		"/aws/vendedlogs/chat/client-api 14", "/aws/vendedlogs/chat/service-api 14",
	})
}

func TestProdDeploysACanaryAndDevAllAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		overrides  []string
		config     string
		monitoring bool
	}{
		{full, "CodeDeployDefault.LambdaCanary10Percent5Minutes", true},
		{nil, "CodeDeployDefault.LambdaAllAtOnce", true},
		{off, "CodeDeployDefault.LambdaAllAtOnce", false},
	} {
		s := translate(t, test.overrides...)
		for id := range functions {
			group := id + "FunctionDeploymentGroup"
			if got := s.get(group, "DeploymentConfigName"); got != test.config {
				t.Errorf("%s: want %s, got %v", group, test.config, got)
			}
			rollback := s.get(group, "AutoRollbackConfiguration")
			if dig(rollback, "Enabled") != "true" || !slices.Contains(texts(dig(rollback, "Events")), "DEPLOYMENT_STOP_ON_ALARM") {
				t.Errorf("%s: want a rollback on alarms, got %v", group, rollback)
			}
			var alarms, want []string
			found, _ := s.get(group, "AlarmConfiguration", "Alarms").(list)
			for _, alarm := range found {
				alarms = append(alarms, dig(alarm, "Name").(string))
			}
			if test.monitoring {
				want = []string{id + "NewVersionErrorsAlarm", "ServerErrorsAlarm"}
			}
			same(t, group+": alarms that roll back", alarms, want)
			alias := id + "FunctionAliaslive"
			if s.get(alias, "Name") != "live" || dig(s.Template.Body, "Resources", alias, "UpdatePolicy", "CodeDeployLambdaAliasUpdate") == nil {
				t.Errorf("%s: want the alias live, moved by CodeDeploy, got %v", alias, s.get(alias))
			}
		}
	}
}

// routes lists the routes of each function in template.yaml, as "GET /config",
// whichever API they are on, by the function's folder.
func routes(t *testing.T) map[string][]string {
	t.Helper()
	stack, err := deploy(t)
	if err != nil {
		t.Fatal(err)
	}
	all, err := stack.Functions()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, f := range all {
		folder := functions[strings.TrimSuffix(f.ID, "Function")]
		for _, r := range f.Routes {
			found[folder] = append(found[folder], r.Method+" "+r.Path)
		}
	}
	return found
}
