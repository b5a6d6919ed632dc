package stacktest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestEveryParameterIsExplainedAndConstrained(t *testing.T) {
	t.Parallel()
	template := source(t)
	grouped := map[string]bool{}
	for _, group := range dig(template, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").(list) {
		for _, id := range texts(dig(group, "Parameters")) {
			grouped[id] = true
		}
	}
	for id, p := range template["Parameters"].(object) {
		for _, test := range []struct {
			ok   bool
			want string
		}{
			{dig(p, "Description") != nil, "a description"},
			{dig(p, "Default") != nil, "a default"},
			{dig(p, "AllowedPattern") != nil || dig(p, "AllowedValues") != nil || dig(p, "MinValue") != nil, "a constraint"},
			{dig(p, "AllowedPattern") == nil || dig(p, "ConstraintDescription") != nil, "a sentence that explains the pattern"},
			{grouped[id], "a group in the console"},
		} {
			if !test.ok {
				t.Errorf("%s: want %s", id, test.want)
			}
		}
	}
}

func TestParameterPatternsAcceptGoodValuesOnly(t *testing.T) {
	t.Parallel()
	for id, values := range map[string]struct{ good, bad []string }{
		"ParameterPrefix": {
			good: []string{"", "/chat-service", "/acme/prod/chat", "/a"},
			bad:  []string{"/", "chat", "/chat/", "//chat", "/a//b", "/a b", "/a*"},
		},
		"ParameterTtl": {
			good: []string{"1", "300", "99999"},
			bad:  []string{"", "0", "-1", "+1", "1.5", "5m", "100000", " 1"},
		},
		"StreamBaseUrl": {
			good: []string{"https://chat.stream-io-api.com", "https://chat.example.com:8443/base", "https://[2001:db8::1]:8443", "http://127.0.0.1:3000", "http://localhost:1", "http://[::1]:8080", "http://127.1.2.3"},
			bad: []string{"", "http://chat.stream-io-api.com", "http://127.0.0.1.example.com", "http://localhost.example.com", "http://localhost@example.com",
				"https://user:pass@example.com", "https://example.com?x=1", "https://example.com/#a", "https://", "https://:443", "https://example.com:port", "ftp://example.com", "HTTPS//example.com"},
		},
		"ExpirationTokenDuration": {
			good: []string{"", "1", "3600", "31536000"},
			bad:  []string{"0", "-1", "+1", "1h", "1.5", " ", "1e3"},
		},
		"OidcIssuer": {
			good: []string{"", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3", "https://issuer.example.com/", "http://127.0.0.1:4567", "https://a.example.com/,staff=https://b.example.com/t/v2.0",
				"acme.com", "https://old.example.com/|https://login.example.com/", "https://accounts.google.com|accounts.google.com,staff=acme.com/x"},
			bad: []string{"https://a,", "https://a,,x=https://b", "@x=https://a", "https://a, x=https://b", "http://issuer.example.com", "https://a|", "|https://a", "https://a|http://b", "https://a b", "https://issuer.example.com?x=1", "https://user@issuer.example.com"},
		},
		"OidcDiscoveryUrl": {good: []string{"", "https://a/t", "staff=https://a"}, bad: []string{"http://a", "a"}},
		"OidcJwksUrl":      {good: []string{"", "https://a/keys", "https://a/keys?p=b2c", "x=https://a/keys", "http://127.0.0.1:1/jwks"}, bad: []string{"http://a/keys", "keys", "https://a#b"}},
		"MaxTokenLifetime": {good: []string{"60", "604800", "172800,600"}, bad: []string{"", "0", "1d", "60,", "60,0", "60,86400", "60,60,60"}},
		"RequiredClaims":   {good: []string{"", "plan=pro", "https://acme.com/plan=pro|team,x=1", "staff=plan=pro"}, bad: []string{"plan", "plan=", "=pro", "a=b,", "a=b, c=d"}},
		"OidcAudience":     {good: []string{"", "my-app", "https://api.example.com", "a,b"}, bad: []string{"a b", "a, b"}},
		"UserFields":       {good: []string{"name=name", "name=n,teams=https://x/org,role=cognito:role"}, bad: []string{"", "name", "name=", "a=b,", "a=b, c=d", "a.b=c"}},
		"UserIdClaim":      {good: []string{"sub", "cognito:username", "https://example.com/stream_id"}, bad: []string{"", "a b"}},
		"UserIdHeaderKey":  {good: []string{"userid", "X-User-Id", "miauserproperties._id", "a.b.c"}, bad: []string{"", ".a", "a.", "a..b", "a b", "a:b"}},
		"ErrorObjKey":      {good: []string{"errors", "error.object", "_e"}, bad: []string{"", "a b"}},
		"AllowedOrigins": {
			good: []string{"*", "https://app.example.com", "http://localhost:5173", "capacitor://localhost", "https://a.example.com,https://b.example.com", ""},
			bad:  []string{"app.example.com", "https://app.example.com/", "https://app.example.com/path", "https://a.example.com,", "https://a.example.com, https://b.example.com"},
		},
		"KmsKeyArn": {
			good: []string{"", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd"},
			bad:  []string{"alias/chat", "arn:aws:kms:eu-central-1:123456789012:alias/chat", "1234abcd-12ab-34cd-56ef-1234567890ab", "*"},
		},
		"HookFunctionArn":          {good: []string{"", hookARN, hookARN + ":live", hookARN + ":$LATEST"}, bad: []string{"moderation", "arn:aws:sns:eu-central-1:123456789012:moderation", hookARN + ":", "*"}},
		"SignInFunctionArn":        {good: []string{"", hookARN, hookARN + ":live"}, bad: []string{"rule", hookARN + ":"}},
		"HookTimeoutMs":            {good: []string{"1", "5000"}, bad: []string{"", "0", "5001", "1s"}},
		"WebhookLimit":             {good: []string{"", "50,500", "50,500,20"}, bad: []string{"50", "50,500,0", "50,500,", "50,500,20,1"}},
		"WebhookPath":              {good: []string{"", "-2", "x0123456789abcdef"}, bad: []string{"/a", "a b", "{x}"}},
		"AllowedHeaders":           {good: []string{"", "*", "x-app", "x-app,x-team"}, bad: []string{"X-App", "x-app, x-team", "x-app,", "x_app"}},
		"ClientApiLimit":           {good: []string{"", "1,1", "20,100"}, bad: []string{"20", "0,100", "20,", "20, 100", "20,100,1"}},
		"ServiceApiVpcEndpointIds": {good: []string{"", "vpce-0abc", "vpce-0abc,vpce-1def"}, bad: []string{"vpc-0abc", "vpce-0abc,", "vpce-0abc, vpce-1def"}},
		"ServiceApiAccountIds":     {good: []string{"", "111122223333", "111122223333,444455556666"}, bad: []string{"1", "*", "111122223333,", "111122223333 444455556666"}},
		"AlarmTarget": {
			good: []string{"", "ops@example.com", "ops@example.com,desk@example.com", topicARN, topicARN + "," + topicARN + "-2"},
			bad:  []string{"ops", "ops@example", "a b@example.com", "alarms", "arn:aws:sqs:eu-central-1:123456789012:alarms", "ops@example.com," + topicARN, topicARN + ","},
		},
		"Monitoring":           {good: []string{"true", "false", "100000,5"}, bad: []string{"", "yes", "100000", "100000,", "0,5", "1,5,9"}},
		"ClientApiDomainName":  {good: []string{"", "chat.example.com", "a-1.b.example"}, bad: []string{"localhost", "https://chat.example.com", "chat.example.com/", "Chat.example.com", "-a.example.com", "a..example.com"}},
		"ServiceApiDomainName": {good: []string{"", "internal.example.com"}, bad: []string{"*.example.com", "chat.example.com."}},
		"CertificateArn":       {good: []string{"", "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd-12ab-34cd-56ef-1234567890ab"}, bad: []string{"1234abcd", "arn:aws:iam::123456789012:server-certificate/chat"}},
	} {
		check := func(values []string, want bool) {
			for _, value := range values {
				_, err := deploy(t, id+"="+value)
				// A rule may forbid what the pattern accepts.
				if accepted := err == nil || !strings.HasPrefix(err.Error(), "parameter "+id+":"); accepted != want {
					t.Errorf("%s: %q: want accepted %t, got %v", id, value, want, err)
				}
			}
		}
		check(values.good, true)
		check(values.bad, false)
	}
}

func TestRulesForbidWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		broken    string // the rule
		overrides []string
	}{
		{"OidcIssuerNeedsAudience", []string{"OidcIssuer=https://issuer.example.com"}},
		{"CreateUsersAndUserInfoNeedSyncUsers", []string{"CreateUsers=false"}},
		{"CreateUsersAndUserInfoNeedSyncUsers", []string{"UserInfo=true"}},
		{"ErrorObjKeyIsNotAuthentication", []string{"ErrorObjKey=authentication"}},
		{"DomainNeedsCertificate", []string{"ServiceApiDomainName=chat.example.com"}},
		{"DomainNeedsCertificate", []string{"ServiceApiDomainName=chat.example.com", "ClientApiDomainName=chat.example.com", "CertificateArn=" + certificateARN}},
		{"PrivateApiHasNoDomain", []string{"ServiceApiDomainName=chat.example.com", "CertificateArn=" + certificateARN, "ServiceApiVpcEndpointIds=vpce-0a"}},
		{"HookFailClosedNeedsHookFunction", []string{"HookFailClosed=true"}},
		{"ProdNeedsAlarmTarget", []string{"Environment=prod"}},
		{"", nil},
		{"", full},
		{"", private},
		{"", []string{"Environment=prod", "AlarmTarget=" + topicARN}},
		{"", []string{"Environment=prod", "Monitoring=false"}},
	} {
		_, err := deploy(t, test.overrides...)
		if test.broken == "" && err != nil || test.broken != "" && (err == nil || !strings.HasPrefix(err.Error(), "rule "+test.broken+":")) {
			t.Errorf("%q: want broken rule %q, got %v", test.overrides, test.broken, err)
		}
	}
}

func TestParametersTakeEffect(t *testing.T) {
	t.Parallel()
	const (
		none    = "<nil>"
		tlsOnly = "map[Action:s3:* Condition:map[Bool:map[aws:SecureTransport:false]] Effect:Deny Principal:* Resource:[LargeEventsBucket.Arn LargeEventsBucket.Arn/*]]"
	)
	for _, test := range []struct {
		overrides []string
		want      map[string]string // by resource and property; * is each function
	}{
		{nil, map[string]string{
			"*Function TracingConfig Mode":                      "PassThrough",
			"*Function ReservedConcurrentExecutions":            none,
			"RequestsAlarm Threshold":                           "100000",
			"CostAlarm Threshold":                               "5",
			"*Function LoggingConfig SystemLogLevel":            "WARN",
			"ServiceApiv1Stage TracingEnabled":                  "false",
			"ServiceApiv1Stage AccessLogSetting DestinationArn": "ServiceApiLogGroup.Arn",
			"ServiceApiLogGroup Tags":                           "[map[Key:api-gateway-account Value:ApiGatewayAccount]]", // so it waits for the role, and the stage for it
			"ApiGatewayAccount":                                 "map[CloudWatchRoleArn:ApiGatewayAccountRole.Arn]",
			"LargeEventsBucketPolicy PolicyDocument Statement":  "[" + tlsOnly + "]",
			"ServiceApi EndpointConfiguration Types":            "[REGIONAL]",
			"StreamEventsMapping":                               none,
		}},
		{full, map[string]string{
			"*Function TracingConfig Mode":                        "Active",
			"TokenFunction ReservedConcurrentExecutions":          none,
			"RequestsAlarm Threshold":                             "70000",
			"CostAlarm Threshold":                                 "8",
			"WebhookFunction ReservedConcurrentExecutions":        "9",
			"ServiceApiv1Stage TracingEnabled":                    "true",
			"ChatEventArchive SourceArn":                          "ChatEventBus.Arn",
			"ChatEventArchive EventPattern":                       "map[source:[map[prefix:stream.]]]",
			"ChatEventArchive RetentionDays":                      "14",
			"LargeEventsBucket LifecycleConfiguration":            "map[Rules:[map[ExpirationInDays:14 Id:as-long-as-the-archive Status:Enabled]]]",
			"StreamEventsMapping FunctionResponseTypes":           "[ReportBatchItemFailures]", // one failure brings one message back
			"StreamEventsQueue RedrivePolicy deadLetterTargetArn": "StreamDeadLetterQueue.Arn",
			"StreamDeadLetterMapping FunctionResponseTypes":       "[ReportBatchItemFailures]",
			"StreamDeadLetterMapping Enabled":                     "false", // somebody must look first
			"ServiceApiv1Stage AccessLogSetting DestinationArn":   "ServiceApiLogGroup.Arn",
			"ApiGatewayAccount":                                   none,
			"LargeEventsBucketPolicy PolicyDocument Statement":    "[" + tlsOnly + " map[Action:s3:GetObject Effect:Allow Principal:map[AWS:[111122223333 444455556666]] Resource:LargeEventsBucket.Arn/*]]",
			"LargeEventsBucket BucketEncryption":                  "map[ServerSideEncryptionConfiguration:[map[BucketKeyEnabled:true ServerSideEncryptionByDefault:map[KMSMasterKeyID:" + kmsARN + " SSEAlgorithm:aws:kms]]]]",
			"*LogGroup KmsKeyId":                                  kmsARN,
			"FallbackQueue KmsMasterKeyId":                        kmsARN,
			"StreamEventsQueue KmsMasterKeyId":                    kmsARN,
			"StreamDeadLetterQueue KmsMasterKeyId":                kmsARN,
			"AlarmTopic KmsMasterKeyId":                           kmsARN,
		}},
		{private, map[string]string{
			"TokenFunction ReservedConcurrentExecutions":   none,
			"WebhookFunction ReservedConcurrentExecutions": "300",
			"RequestsAlarm Threshold":                      "10000000", "CostAlarm Threshold": "150",
			"ServiceApi EndpointConfiguration":   "map[Types:[PRIVATE] VpcEndpointIds:[vpce-0a vpce-0b]]",
			"ServiceApiv1Stage AccessLogSetting": none,
			"ApiGatewayAccount":                  none,
		}},
		{off, map[string]string{
			"*Function LoggingConfig SystemLogLevel": "INFO",
		}},
	} {
		s := translate(t, test.overrides...)
		for path, want := range test.want {
			ids := []string{""}
			if strings.HasPrefix(path, "*") {
				ids = sortedKeys(functions)
			}
			for _, id := range ids {
				keys := strings.Fields(strings.Replace(path, "*", id, 1))
				if got := fmt.Sprint(s.get(keys[0], keys[1:]...)); got != want {
					t.Errorf("%q: %q: want %s, got %s", test.overrides, keys, want, got)
				}
			}
		}
	}
}

func TestNothingThatIsSwitchedOffIsCreated(t *testing.T) {
	t.Parallel()
	for id, kind := range translate(t, off...).kinds {
		switch kind {
		case "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::MetricFilter", "AWS::SNS::Topic":
			t.Errorf("want no resource of type %s, got %s", kind, id)
		}
	}
}

// A changed parameter has to reach the alias: SAM publishes a version when the
// template changes, CloudFormation when a property of the version does.
func TestEveryParameterOfAFunctionsConfigurationMakesANewVersion(t *testing.T) {
	t.Parallel()
	template := source(t)
	shared := dig(template, "Globals", "Function")
	for id := range functions {
		properties := dig(template, "Resources", id+"Function", "Properties").(object)
		used, described := map[string]bool{}, map[string]bool{}
		for _, property := range []string{"Environment", "Timeout", "MemorySize", "LoggingConfig", "Tracing"} {
			references(template, list{properties[property], dig(shared, property)}, used)
		}
		references(template, properties["VersionDescription"], described)
		same(t, id+": parameters in VersionDescription", sortedKeys(described), sortedKeys(used))
	}
	before, after := translate(t).all("AWS::Lambda::Version"), translate(t, full...).all("AWS::Lambda::Version")
	if len(before) != len(functions) {
		t.Errorf("want a version of each function, got %q", sortedKeys(before))
	}
	for id := range before {
		old, changed := before[id]["Description"], after[id]["Description"]
		if old == changed || len(changed.(string)) > 256 {
			t.Errorf("%s: want another description for other parameters, of at most 256 characters, got %q, then %q", id, old, changed)
		}
	}
}

// longSettings are resources that get a new name with their description. It holds what a
// version's description has no room for.
var longSettings = []string{"LongSettings", "SignInSettings"}

func description(template object, resource string) any {
	return dig(template, "Resources", resource, "Properties", "Description")
}

// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
func TestLongSettingsFitTheDescriptionOfAPolicy(t *testing.T) {
	t.Parallel()
	for _, policy := range longSettings {
		text := fmt.Sprint(dig(source(t), "Resources", policy, "Properties", "Description", "Fn::Sub"))
		n := 0
		for _, match := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(text, -1) {
			n += 1 + longest(source(t), match[1])
		}
		if n > 1000 {
			t.Errorf("want at most 1000 characters for %q, got %d", text, n)
		}
		if s := translate(t); s.get(policy, "ManagedPolicyName") != nil || s.get(policy, "Roles") != nil {
			t.Error("want a policy that is attached to nobody and whose name CloudFormation generates")
		}
	}
}

// longest returns the greatest length of a parameter's value, or of a policy's ARN.
func longest(template object, id string) (n int) {
	if slices.Contains(longSettings, id) {
		return len("arn:aws-us-gov:iam::123456789012:policy/") + 128
	}
	parameter := dig(template, "Parameters", id).(object)
	if allowed, ok := parameter["AllowedValues"].(list); ok {
		for _, v := range allowed {
			n = max(n, len(fmt.Sprint(v)))
		}
		return n
	}
	if most := parameter["MaxValue"]; most != nil {
		return len(fmt.Sprint(most))
	}
	n, err := strconv.Atoi(fmt.Sprint(parameter["MaxLength"]))
	if err != nil {
		panic(id + " has no MaxLength")
	}
	return n
}

// references adds the template parameters that v depends on, also by way of
// conditions and of longSettings.
func references(template object, v any, found map[string]bool) {
	parameters := template["Parameters"].(object)
	switch v := v.(type) {
	case list:
		for _, item := range v {
			references(template, item, found)
		}
	case object:
		for key, item := range v {
			switch text, _ := item.(string); {
			case key == "Ref" && parameters[text] != nil:
				found[text] = true
			case key == "Condition":
				references(template, dig(template, "Conditions", text), found)
			case key == "Fn::Sub":
				for _, match := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(text, -1) {
					if slices.Contains(longSettings, match[1]) {
						references(template, description(template, match[1]), found)
					}
					references(template, object{"Ref": match[1]}, found)
				}
			case key == "Fn::If":
				references(template, dig(template, "Conditions", item.(list)[0].(string)), found)
				references(template, item, found)
			default:
				references(template, item, found)
			}
		}
	}
}

func TestOutputsGiveEveryURLToPaste(t *testing.T) {
	t.Parallel()
	s := translate(t)
	const client, service = "https://ClientApi.execute-api.eu-central-1.amazonaws.com", "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"
	for id, want := range map[string]string{
		"ClientApiUrl":   client,
		"ConfigUrl":      client + "/config",
		"TokenUrl":       client + "/token",
		"ApiKeyUrl":      client + "/api-key",
		"WebhookUrl":     "https://WebhookApi.execute-api.eu-central-1.amazonaws.com" + webhookPath,
		"ServiceApiUrl":  service,
		"ProxyUrl":       service + "/proxy",
		"ServiceApiArn":  "arn:aws:execute-api:eu-central-1:123456789012:ServiceApi/v1",
		"ParameterPath":  "/chat",
		"LogGroupPrefix": "/aws/lambda/chat/",
		"DashboardUrl":   "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards/dashboard/Dashboard",
	} {
		if got := s.output(t, id); got != want {
			t.Errorf("%s: want %s, got %v", id, want, got)
		}
		if dig(s.Template.Body, "Outputs", id, "Description") == nil {
			t.Errorf("%s: want a description", id)
		}
	}
}
