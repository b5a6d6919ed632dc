package stacktest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const hookARN = "arn:aws:lambda:eu-central-1:123456789012:function:moderation"

// cfn-lint also finds resources that wait for each other in a circle. With an
// alarm on an API among those that roll back, they would: the API calls the
// alias, which the deployment group moves, which looks at the alarm.
func TestTemplatesPassCfnLint(t *testing.T) {
	t.Parallel()
	need(t, "cfn-lint")
	examples, _ := filepath.Glob("examples/*/template.yaml")
	templates := append(examples, "template.yaml", "examples/events/rules.yaml", "examples/services/allow/template.yaml", "deploy/ci.yaml")
	out, err := exec.CommandContext(t.Context(), "cfn-lint", templates...).CombinedOutput()
	if err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

func TestEveryParameterHasDescriptionAndConstraint(t *testing.T) {
	t.Parallel()
	grouped := map[string]bool{}
	template := source(t)
	for _, group := range dig(template, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").(list) {
		for _, id := range group.(object)["Parameters"].(list) {
			grouped[id.(string)] = true
		}
	}
	for id, v := range template["Parameters"].(object) {
		p := v.(object)
		if description, _ := p["Description"].(string); description == "" {
			t.Errorf("%s: want a description", id)
		}
		if p["AllowedPattern"] == nil && p["AllowedValues"] == nil && p["MinValue"] == nil {
			t.Errorf("%s: want a constraint", id)
		}
		if p["AllowedPattern"] != nil && p["ConstraintDescription"] == nil {
			t.Errorf("%s: want a sentence that explains the pattern", id)
		}
		if p["Default"] == nil {
			t.Errorf("%s: want a default", id)
		}
		if !grouped[id] {
			t.Errorf("%s: want a group in the console", id)
		}
	}
}

func TestParameterPatternsTakeWhatIsRightOnly(t *testing.T) {
	t.Parallel()
	for id, values := range map[string]struct{ good, bad []string }{
		"ParameterPrefix": {
			good: []string{"/chat-service", "/acme/prod/chat", "/a"},
			bad:  []string{"", "/", "chat", "/chat/", "//chat", "/a//b", "/a b", "/a*"},
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
			good: []string{"", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3", "https://issuer.example.com/", "http://127.0.0.1:4567", "https://a.example.com/,staff=https://b.example.com/t/v2.0"},
			bad:  []string{"https://a,", "https://a,,x=https://b", "@x=https://a", "https://a, x=https://b", "http://issuer.example.com", "issuer.example.com", "https://a b", "https://issuer.example.com?x=1", "https://user@issuer.example.com"},
		},
		"OidcDiscoveryUrl": {good: []string{"", "https://a/t", "staff=https://a"}, bad: []string{"http://a", "a"}},
		"OidcAudience":     {good: []string{"", "my-app", "https://api.example.com", "a,b"}, bad: []string{"a b", "a, b"}},
		"UserFields":       {good: []string{"name=name", "name=n,teams=https://x/org,role=cognito:role"}, bad: []string{"", "name", "name=", "a=b,", "a=b, c=d", "a.b=c"}},
		"TokensPerMinute":  {good: []string{"", "1", "9999"}, bad: []string{"0", "-1", "1.5", "10000", "many"}},
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
		"HookFunctionArn":            {good: []string{"", hookARN, hookARN + ":live", hookARN + ":$LATEST"}, bad: []string{"moderation", "arn:aws:sns:eu-central-1:123456789012:moderation", hookARN + ":", "*"}},
		"HookTimeoutMs":              {good: []string{"1", "5000"}, bad: []string{"", "0", "5001", "1s"}},
		"WebhookReservedConcurrency": {good: []string{"", "1", "100"}, bad: []string{"0", "-1", "1.5", "many"}},
		"ReservedConcurrency":        {good: []string{"", "1", "100"}, bad: []string{"0", "-1", "1.5", "many"}},
		"ServiceApiVpcEndpointIds":   {good: []string{"", "vpce-0abc", "vpce-0abc,vpce-1def"}, bad: []string{"vpc-0abc", "vpce-0abc,", "vpce-0abc, vpce-1def"}},
		"ServiceApiAccountIds":       {good: []string{"", "111122223333", "111122223333,444455556666"}, bad: []string{"1", "*", "111122223333,", "111122223333 444455556666"}},
		"AlarmEmail":                 {good: []string{"", "ops@example.com"}, bad: []string{"ops", "ops@example", "a b@example.com"}},
		"AlarmTopicArn":              {good: []string{"", "arn:aws:sns:eu-central-1:123456789012:alarms"}, bad: []string{"alarms", "arn:aws:sqs:eu-central-1:123456789012:alarms"}},
		"ClientApiDomainName":        {good: []string{"", "chat.example.com", "a-1.b.example"}, bad: []string{"localhost", "https://chat.example.com", "chat.example.com/", "Chat.example.com", "-a.example.com", "a..example.com"}},
		"ServiceApiDomainName":       {good: []string{"", "internal.example.com"}, bad: []string{"*.example.com", "chat.example.com."}},
		"CertificateArn":             {good: []string{"", "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd-12ab-34cd-56ef-1234567890ab"}, bad: []string{"1234abcd", "arn:aws:iam::123456789012:server-certificate/chat"}},
		"HostedZoneId":               {good: []string{"", "Z0123456789ABCDEFGHIJ"}, bad: []string{"/hostedzone/Z1", "example.com"}},
	} {
		refused := func(value string) bool {
			_, err := deploy(t, id+"="+value)
			return err != nil && strings.HasPrefix(err.Error(), "parameter "+id+":")
		}
		for _, value := range values.good {
			if refused(value) {
				t.Errorf("%s: want %q taken", id, value)
			}
		}
		for _, value := range values.bad {
			if !refused(value) {
				t.Errorf("%s: want %q refused", id, value)
			}
		}
	}
}

func TestRulesRefuseWhatCannotWork(t *testing.T) {
	t.Parallel()
	for rule, overrides := range map[string][]string{
		"OidcIssuerNeedsAudience":         {"OidcIssuer=https://issuer.example.com"},
		"OneAlarmTarget":                  {"AlarmEmail=ops@example.com", "AlarmTopicArn=arn:aws:sns:eu-central-1:123456789012:alarms"},
		"ErrorObjKeyIsNotAuthentication":  {"ErrorObjKey=authentication"},
		"StreamQueueNeedsEventBus":        {"StreamQueue=true", "EventBus=false"},
		"DomainNeedsCertificate":          {"ServiceApiDomainName=chat.example.com"},
		"PrivateApiHasNoDomain":           {"ServiceApiDomainName=chat.example.com", "CertificateArn=arn:aws:acm:eu-central-1:123456789012:certificate/1", "ServiceApiVpcEndpointIds=vpce-0a"},
		"HookFailClosedNeedsHookFunction": {"HookFailClosed=true"},
		"ProdNeedsAlarmTarget":            {"Environment=prod"},
	} {
		if _, err := deploy(t, overrides...); err == nil || !strings.HasPrefix(err.Error(), "rule "+rule+":") {
			t.Errorf("%q: want rule %s broken, got %v", overrides, rule, err)
		}
	}
	for _, overrides := range [][]string{nil, {"OidcIssuer=https://issuer.example.com", "OidcAudience=app"}, {"StreamQueue=true"},
		{"Environment=prod", "AlarmEmail=ops@example.com"}, {"Environment=prod", "Monitoring=false"}} {
		if _, err := deploy(t, overrides...); err != nil {
			t.Errorf("%q: want no rule broken, got %v", overrides, err)
		}
	}
}

// An integration is one operation of an API's definition.
type integration struct {
	route    string // "GET /config → config"
	function string // logical id
	streamed bool
	uri      string
	object   object // what x-amazon-apigateway-integration says
	security any    // of the operation
}

// integrations lists the operations of an API, all of which call the alias live.
func (s stack) integrations(kind, id string) (all []integration) {
	s.t.Helper()
	for path, methods := range dig(s.resource(kind, id), "Body", "paths").(object) {
		for method, operation := range methods.(object) {
			i := integration{security: dig(operation, "security")}
			i.object, _ = dig(operation, "x-amazon-apigateway-integration").(object)
			i.uri, _ = i.object["uri"].(string)
			i.streamed = i.object["responseTransferMode"] == "STREAM"
			match := regexp.MustCompile(`functions/(\w+)FunctionAliaslive/`).FindStringSubmatch(i.uri)
			if match == nil {
				s.t.Fatalf("%s %s: want the alias live called, got %s", method, path, i.uri)
			}
			i.route = strings.ToUpper(method) + " " + path + " → " + functions[match[1]]
			i.function = match[1] + "Function"
			all = append(all, i)
		}
	}
	return all
}

func TestServiceApiHasItsRoutesSignedAndStreamedWhereTheProxyIs(t *testing.T) {
	t.Parallel()
	s := translate(t)
	api := s.resource("AWS::ApiGateway::RestApi", "ServiceApi")
	var routes []string
	for _, i := range s.integrations("AWS::ApiGateway::RestApi", "ServiceApi") {
		routes = append(routes, i.route)
		if security, _ := json.Marshal(i.security); string(security) != `[{"AWS_IAM":[]}]` {
			t.Errorf("%s: want AWS_IAM and nothing else, got %s", i.route, security)
		}
		if credentials, ok := i.object["credentials"]; ok {
			t.Errorf("%s: want the function called by its resource policy, got credentials %v", i.route, credentials)
		}
		if i.object["type"] != "aws_proxy" {
			t.Errorf("%s: want aws_proxy, got %v", i.route, i.object["type"])
		}
		version, verb := "2015-03-31", "/invocations"
		if strings.HasSuffix(i.route, " → proxy") {
			version, verb = "2021-11-15", "/response-streaming-invocations"
			if !i.streamed {
				t.Errorf("%s: want responseTransferMode STREAM, got %v", i.route, i.object["responseTransferMode"])
			}
		} else if i.streamed {
			t.Errorf("%s: want a buffered route", i.route)
		}
		if !strings.Contains(i.uri, version) || !strings.HasSuffix(i.uri, verb) {
			t.Errorf("%s: want a URI of %s that ends in %s, got %s", i.route, version, verb, i.uri)
		}
	}
	same(t, "routes", routes, []string{
		"GET /token/{userId} → token", "GET /api-key → apikey", "GET /config → config", "POST /webhook/verify → webhook",
		"GET /proxy/{path+} → proxy", "POST /proxy/{path+} → proxy", "PUT /proxy/{path+} → proxy", "PATCH /proxy/{path+} → proxy", "DELETE /proxy/{path+} → proxy",
	})
	if auth := dig(api, "Body", "securityDefinitions", "AWS_IAM", "x-amazon-apigateway-authtype"); auth != "awsSigv4" {
		t.Errorf("want AWS_IAM to be awsSigv4, got %v", auth)
	}
	same(t, "binary media types", texts(api["BinaryMediaTypes"]), []string{
		"multipart/form-data", "application/octet-stream", "image/*", "video/*", "audio/*", "application/gzip", "application/pdf",
	})
	if types := texts(dig(api, "EndpointConfiguration", "Types")); !slices.Equal(types, []string{"REGIONAL"}) {
		t.Errorf("want a regional API, got %q", types)
	}
}

func TestClientApiIsPublicWithCORS(t *testing.T) {
	t.Parallel()
	s := translate(t, "AllowedOrigins=https://a.example.com,https://b.example.com")
	var routes []string
	for _, i := range s.integrations("AWS::ApiGatewayV2::Api", "ClientApi") {
		routes = append(routes, i.route)
		if i.security != nil {
			t.Errorf("%s: want a public route, got %v", i.route, i.security)
		}
		if i.object["payloadFormatVersion"] != "2.0" {
			t.Errorf("%s: want payload 2.0, got %v", i.route, i.object["payloadFormatVersion"])
		}
	}
	same(t, "routes", routes, []string{
		"GET /token/{userId} → token", "GET /api-key → apikey", "GET /config → config", "POST /webhook → webhook",
	})
	cors := dig(s.resource("AWS::ApiGatewayV2::Api", "ClientApi"), "Body", "x-amazon-apigateway-cors").(object)
	same(t, "origins", texts(cors["allowOrigins"]), []string{"https://a.example.com", "https://b.example.com"})
	if headers := texts(cors["allowHeaders"]); !slices.Contains(headers, "authorization") {
		t.Errorf("want the header authorization allowed, got %q", headers)
	}
	same(t, "methods", texts(cors["allowMethods"]), []string{"GET"})
	if cors["allowCredentials"] != nil {
		t.Errorf("want no cookies across origins, got %v", cors["allowCredentials"])
	}
	none := translate(t, "AllowedOrigins=").resource("AWS::ApiGatewayV2::Api", "ClientApi")
	if cors := dig(none, "Body", "x-amazon-apigateway-cors"); cors != nil {
		t.Errorf("want no CORS for no origin, got %v", cors)
	}
}

func TestTimeoutsFitIntoEachOther(t *testing.T) {
	t.Parallel()
	const firstByte = 25_000 // ms that the proxy waits for Stream
	s := translate(t)
	lambdas := s.resources("AWS::Lambda::Function")
	for limit, all := range map[int][]integration{
		29_000: s.integrations("AWS::ApiGateway::RestApi", "ServiceApi"),
		30_000: s.integrations("AWS::ApiGatewayV2::Api", "ClientApi"),
	} {
		for _, i := range all {
			limit, function, got := limit, 1000*number(t, lambdas[i.function]["Timeout"]), number(t, i.object["timeoutInMillis"])
			if i.streamed {
				limit = 900_000
				if got <= firstByte {
					t.Errorf("%s: want more than %d ms, got %d", i.route, firstByte, got)
				}
			}
			if got >= function || got > limit {
				t.Errorf("%s: want less than the function's %d ms and at most %d ms, got %d", i.route, function, limit, got)
			}
		}
	}
}

// Strangers on one route must not use up what another is allowed.
func TestEachRouteHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s := translate(t, "ClientApiThrottlingRateLimit=11", "ClientApiThrottlingBurstLimit=12", "WebhookThrottlingRateLimit=13", "WebhookThrottlingBurstLimit=14",
		"ServiceApiThrottlingRateLimit=15", "ServiceApiThrottlingBurstLimit=16", "ProxyThrottlingRateLimit=17", "ProxyThrottlingBurstLimit=18")
	limits := func(settings any) string {
		return fmt.Sprint(dig(settings, "ThrottlingRateLimit"), " ", dig(settings, "ThrottlingBurstLimit"))
	}
	stage := s.resource("AWS::ApiGatewayV2::Stage", "ClientApiApiGatewayDefaultStage")
	stages := s.resources("AWS::ApiGateway::Stage")
	if len(stages) != 1 {
		t.Errorf("want one stage of the Service API, got %q", sortedKeys(stages))
	}
	got := map[string]string{"client": limits(stage["DefaultRouteSettings"])}
	for route, settings := range stage["RouteSettings"].(object) {
		got["client "+route] = limits(settings)
	}
	for _, settings := range stages["ServiceApiv1Stage"]["MethodSettings"].(list) {
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-apigateway-stage-methodsetting.html
		path := strings.ReplaceAll(strings.TrimPrefix(dig(settings, "ResourcePath").(string), "/"), "~1", "/")
		got["service "+dig(settings, "HttpMethod").(string)+" "+path] = limits(settings)
		if trace := dig(settings, "DataTraceEnabled"); trace != nil && trace != "false" {
			t.Errorf("%s: want no data trace, which would log bodies and tokens", path)
		}
	}
	want := map[string]string{"client": "11 12", "service * *": "15 16"}
	add := func(api string, paths any) {
		for path, methods := range paths.(object) {
			for method := range methods.(object) {
				route := strings.ToUpper(method) + " " + path
				switch {
				case path == "/webhook":
					want[api+" "+route] = "13 14"
				case api == "client":
					want[api+" "+route] = "11 12"
				case strings.HasPrefix(path, "/proxy/"):
					want[api+" "+route] = "17 18"
				default:
					want[api+" "+route] = "15 16"
				}
			}
		}
	}
	add("client", dig(s.resource("AWS::ApiGatewayV2::Api", "ClientApi"), "Body", "paths"))
	add("service", dig(s.resource("AWS::ApiGateway::RestApi", "ServiceApi"), "Body", "paths"))
	if !maps.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
	// A deployment with StageName would make a second stage without limits.
	for id, d := range s.resources("AWS::ApiGateway::Deployment") {
		if d["StageName"] != nil {
			t.Errorf("%s: want no stage of its own, got %v", id, d["StageName"])
		}
	}
}

func TestDomainNames(t *testing.T) {
	t.Parallel()
	const certificate = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd"
	deployments := map[string]string{}
	for name, c := range map[string]struct {
		parameters                []string
		domains, records          int
		clientClosed, restClosed  string
		clientURL, serviceURLBase string
	}{
		"none": {nil, 0, 0, "false", "false", "https://ClientApi.execute-api.eu-central-1.amazonaws.com", "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"},
		"client": {[]string{"ClientApiDomainName=chat.example.com", "CertificateArn=" + certificate}, 1, 0, "true", "false",
			"https://chat.example.com", "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"},
		"both": {[]string{"ClientApiDomainName=chat.example.com", "ServiceApiDomainName=internal.chat.example.com", "CertificateArn=" + certificate, "HostedZoneId=Z123"},
			2, 2, "true", "true", "https://chat.example.com", "https://internal.chat.example.com"},
	} {
		s := translate(t, c.parameters...)
		domains := s.resources("AWS::ApiGatewayV2::DomainName")
		mappings, records := s.resources("AWS::ApiGatewayV2::ApiMapping"), s.resources("AWS::Route53::RecordSet")
		if len(domains) != c.domains || len(mappings) != c.domains || len(records) != c.records {
			t.Errorf("%s: want %d domains and mappings and %d records, got %q, %q, %q", name, c.domains, c.records, sortedKeys(domains), sortedKeys(mappings), sortedKeys(records))
		}
		for id, d := range domains {
			api := strings.TrimSuffix(id, "Domain")
			configuration := d["DomainNameConfigurations"].(list)[0]
			if got := fmt.Sprint(dig(configuration, "CertificateArn"), dig(configuration, "EndpointType"), dig(configuration, "SecurityPolicy")); got != certificate+"REGIONALTLS_1_2" {
				t.Errorf("%s: want a regional domain with the certificate and TLS 1.2, got %s", id, got)
			}
			stage := map[string]string{"Client": "ClientApiApiGatewayDefaultStage", "Service": "ServiceApiv1Stage"}[api]
			if m := mappings[api+"Mapping"]; m["ApiId"] != api+"Api" || m["DomainName"] != id || m["Stage"] != stage {
				t.Errorf("%s: want all of the API below it, got %v", id, m)
			}
			if c.records == 0 {
				continue
			}
			target := records[api+"Record"]["AliasTarget"]
			if dig(target, "DNSName") != id+".RegionalDomainName" || dig(target, "HostedZoneId") != id+".RegionalHostedZoneId" || records[api+"Record"]["Name"] != d["DomainName"] {
				t.Errorf("%s: want a record that points to it, got %v", id, records[api+"Record"])
			}
		}
		const extension, closed = "x-amazon-apigateway-endpoint-configuration", "disableExecuteApiEndpoint"
		client := dig(s.resource("AWS::ApiGatewayV2::Api", "ClientApi"), "Body", "servers").(list)[0]
		if got := fmt.Sprint(dig(client, extension, closed)); got != c.clientClosed {
			t.Errorf("%s: Client API's own endpoint off: want %s, got %s", name, c.clientClosed, got)
		}
		if got := fmt.Sprint(dig(s.resource("AWS::ApiGateway::RestApi", "ServiceApi"), "Body", extension, closed)); got != c.restClosed {
			t.Errorf("%s: Service API's own endpoint off: want %s, got %s", name, c.restClosed, got)
		}
		// A REST API's switch takes effect with a new deployment, which has a new name.
		deployments[name] = fmt.Sprint(sortedKeys(s.resources("AWS::ApiGateway::Deployment")))
		for output, want := range map[string]string{"ClientApiUrl": c.clientURL, "WebhookUrl": c.clientURL + "/webhook", "ServiceApiUrl": c.serviceURLBase, "ProxyUrl": c.serviceURLBase + "/proxy"} {
			if got := s.eval(dig(s.Template.Body, "Outputs", output, "Value")); got != want {
				t.Errorf("%s: %s: want %s, got %v", name, output, want, got)
			}
		}
	}
	if deployments["none"] != deployments["client"] || deployments["none"] == deployments["both"] {
		t.Errorf("want another deployment with the Service API's domain alone, got %q", deployments)
	}
}

func TestTracingIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for tracing, want := range map[string]struct{ mode, rest, rights string }{
		"false": {"PassThrough", "false", "[]"},
		"true":  {"Active", "true", "[xray:PutTelemetryRecords * xray:PutTraceSegments *]"},
	} {
		s := translate(t, "Tracing="+tracing)
		for id := range functions {
			if mode := dig(s.resource("AWS::Lambda::Function", id+"Function"), "TracingConfig", "Mode"); mode != want.mode {
				t.Errorf("%s, Tracing=%s: want %s, got %v", id, tracing, want.mode, mode)
			}
			var rights []string
			for _, g := range roleGrants(t, id, s.resource("AWS::IAM::Role", id+"Role")) {
				if strings.HasPrefix(g.action, "xray:") {
					rights = append(rights, g.String())
				}
			}
			slices.Sort(rights)
			if got := fmt.Sprint(rights); got != want.rights {
				t.Errorf("%s, Tracing=%s: want %s, got %s", id, tracing, want.rights, got)
			}
		}
		if got := s.resource("AWS::ApiGateway::Stage", "ServiceApiv1Stage")["TracingEnabled"]; got != want.rest {
			t.Errorf("Service API, Tracing=%s: want %s, got %v", tracing, want.rest, got)
		}
	}
}

func TestServiceApiPolicyOnlyEverNarrowsWithinTheAccount(t *testing.T) {
	t.Parallel()
	statements := func(s stack) (lines []string) {
		for _, v := range dig(s.resource("AWS::ApiGateway::RestApi", "ServiceApi"), "Body", "x-amazon-apigateway-policy", "Statement").(list) {
			line, _ := json.Marshal(v)
			lines = append(lines, string(line))
		}
		return lines
	}
	insecure := `{"Action":"execute-api:Invoke","Condition":{"Bool":{"aws:SecureTransport":"false"}},"Effect":"Deny","Principal":"*","Resource":"execute-api:/*"}`
	open := translate(t)
	same(t, "default", statements(open), []string{insecure})

	narrow := translate(t, "ServiceApiVpcEndpointIds=vpce-0a,vpce-0b", "ServiceApiAccountIds=111122223333,444455556666")
	same(t, "endpoints and accounts", statements(narrow), []string{
		insecure,
		`{"Action":"execute-api:Invoke","Condition":{"StringNotEquals":{"aws:SourceVpce":["vpce-0a","vpce-0b"]}},"Effect":"Deny","Principal":"*","Resource":"execute-api:/*"}`,
		`{"Action":"execute-api:Invoke","Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Resource":"execute-api:/*"}`,
	})
	endpoint := narrow.resource("AWS::ApiGateway::RestApi", "ServiceApi")["EndpointConfiguration"]
	if got := fmt.Sprint(endpoint); got != "map[Types:[PRIVATE] VpcEndpointIds:[vpce-0a vpce-0b]]" {
		t.Errorf("want a private API at the endpoints, got %s", got)
	}
	// A new policy takes effect with a new deployment, which has a new name.
	before, after := sortedKeys(open.resources("AWS::ApiGateway::Deployment")), sortedKeys(narrow.resources("AWS::ApiGateway::Deployment"))
	if slices.Equal(before, after) {
		t.Errorf("want another deployment for another policy, got %q again", after)
	}
}

func TestFunctionsGetTheSettingsTheyReadAndNoCredential(t *testing.T) {
	t.Parallel()
	prefix, ttl := "PARAMETER_PREFIX=/p", "PARAMETER_TTL=7"
	caller := []string{"OIDC_ISSUER=https://i", "OIDC_AUDIENCE=a", "OIDC_DISCOVERY_URL=https://d", "USER_ID_CLAIM=c", "USER_ID_MAPPING=none",
		"SYNC_USERS=true", "USER_FIELDS=n=c", "STREAM_BASE_URL=https://s", "TOKENS_PER_MINUTE=5", "EXPIRATION_TOKEN_DURATION=9"}
	want := map[string][]string{
		"Token":  append([]string{prefix, ttl}, caller...),
		"ApiKey": {prefix, ttl},
		"Config": append([]string{prefix, ttl, "USERID_HEADER_KEY=h", "ERROR_OBJ_KEY=e"}, caller...),
		"Webhook": {prefix, ttl, "EVENT_BUS_NAME=ChatEventBus", "FALLBACK_QUEUE_URL=FallbackQueue", "LARGE_EVENTS_BUCKET=LargeEventsBucket",
			"HOOK_FUNCTION_ARN=" + hookARN, "HOOK_TIMEOUT_MS=900", "HOOK_FAIL_CLOSED=true"},
		"Proxy": {prefix, ttl, "STREAM_BASE_URL=https://s", "LOG_STREAM_PATHS=false"},
	}
	s := translate(t, "ParameterPrefix=/p", "ParameterTtl=7", "OidcIssuer=https://i", "OidcAudience=a", "OidcDiscoveryUrl=https://d", "UserIdClaim=c", "UserIdMapping=none",
		"SyncUsers=true", "UserFields=n=c", "TokensPerMinute=5",
		"ExpirationTokenDuration=9", "UserIdHeaderKey=h", "ErrorObjKey=e", "StreamBaseUrl=https://s", "LogStreamPaths=false", "ReservedConcurrency=5",
		"HookFunctionArn="+hookARN, "HookTimeoutMs=900", "HookFailClosed=true")
	all := s.resources("AWS::Lambda::Function")
	if len(all) != len(functions) {
		t.Errorf("want %d functions, got %q", len(functions), sortedKeys(all))
	}
	for id := range functions {
		f := all[id+"Function"]
		var got []string
		for key, value := range dig(f, "Environment", "Variables").(object) {
			got = append(got, key+"="+value.(string))
		}
		same(t, id, got, want[id])
		for _, property := range []struct {
			keys []string
			want any
		}{
			{[]string{"Runtime"}, "provided.al2023"},
			{[]string{"Handler"}, "bootstrap"},
			{[]string{"Architectures"}, "[arm64]"},
			{[]string{"Role"}, id + "Role.Arn"},
			{[]string{"MemorySize"}, "256"},
			{[]string{"ReservedConcurrentExecutions"}, "5"},
			{[]string{"LoggingConfig", "LogFormat"}, "JSON"},
			{[]string{"LoggingConfig", "ApplicationLogLevel"}, "INFO"},
			{[]string{"LoggingConfig", "SystemLogLevel"}, "WARN"},
			{[]string{"LoggingConfig", "LogGroup"}, id + "LogGroup"},
		} {
			if got := fmt.Sprint(dig(f, property.keys...)); got != property.want {
				t.Errorf("%s: %s: want %v, got %v", id, strings.Join(property.keys, "."), property.want, got)
			}
		}
		if method := dig(source(t), "Resources", id+"Function", "Metadata", "BuildMethod"); method != "makefile" {
			t.Errorf("%s: want it built by the Makefile, got %v", id, method)
		}
	}
	for id, f := range translate(t).resources("AWS::Lambda::Function") {
		if limit, ok := f["ReservedConcurrentExecutions"]; ok {
			t.Errorf("%s: want no reserved concurrency unless asked for, got %v", id, limit)
		}
	}
}

func TestWebhookCanHaveConcurrencyThatNoOtherFunctionTakes(t *testing.T) {
	t.Parallel()
	for id, f := range translate(t, "ReservedConcurrency=5", "WebhookReservedConcurrency=9").resources("AWS::Lambda::Function") {
		want := "5"
		if id == "WebhookFunction" {
			want = "9"
		}
		if got := f["ReservedConcurrentExecutions"]; got != want {
			t.Errorf("%s: want %s, got %v", id, want, got)
		}
	}
	for id, f := range translate(t, "WebhookReservedConcurrency=9").resources("AWS::Lambda::Function") {
		if _, reserved := f["ReservedConcurrentExecutions"]; reserved != (id == "WebhookFunction") {
			t.Errorf("%s: want concurrency reserved for the webhook alone", id)
		}
	}
}

func TestSamBuildsEachFunctionFromItsFolder(t *testing.T) {
	t.Parallel()
	need(t, "make")
	for id, folder := range functions {
		cmd := exec.CommandContext(t.Context(), "make", "-n", "build-"+id+"Function", "ARTIFACTS_DIR=/artifacts", "GOARCH=amd64")
		// Not what make tells its children: this test may run in one.
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "M") && strings.Contains(v, "FLAGS=") })
		out, err := cmd.CombinedOutput()
		for _, want := range []string{"GOARCH=arm64", "GOOS=linux", `-o "/artifacts/bootstrap" ./functions/` + folder + "\n"} {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: want a command with %q, got %v\n%s", id, want, err, out)
			}
		}
		if _, err := os.Stat(filepath.Join("functions", folder, "main.go")); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestEveryLogGroupIsKeptAsLongAsAsked(t *testing.T) {
	t.Parallel()
	s := translate(t, "LogRetentionDays=14", "ServiceApiAccessLogs=true")
	var names []string
	for id, group := range s.resources("AWS::Logs::LogGroup") {
		names = append(names, group["LogGroupName"].(string))
		if group["RetentionInDays"] != "14" {
			t.Errorf("%s: want 14 days, got %v", id, group["RetentionInDays"])
		}
	}
	same(t, "log groups", names, []string{
		"/aws/lambda/chat/token", "/aws/lambda/chat/apikey", "/aws/lambda/chat/config", "/aws/lambda/chat/webhook", "/aws/lambda/chat/proxy",
		"/aws/vendedlogs/chat/client-api", "/aws/vendedlogs/chat/service-api",
	})
}

func TestAccessLogsAreJSONWithoutPathsOfUsers(t *testing.T) {
	t.Parallel()
	s := translate(t, "ServiceApiAccessLogs=true")
	for id, settings := range map[string]any{
		"Client API":  s.resource("AWS::ApiGatewayV2::Stage", "ClientApiApiGatewayDefaultStage")["AccessLogSettings"],
		"Service API": s.resource("AWS::ApiGateway::Stage", "ServiceApiv1Stage")["AccessLogSetting"],
	} {
		format := dig(settings, "Format").(string)
		var line map[string]string
		if err := json.Unmarshal([]byte(format), &line); err != nil {
			t.Errorf("%s: want a JSON object, got %v: %s", id, err, format)
		}
		for _, field := range []string{"requestId", "route", "status", "responseLatency"} {
			if line[field] == "" {
				t.Errorf("%s: want a field %s, got %s", id, field, format)
			}
		}
		// $context.path holds a user id on /token, and a channel's on the proxy.
		if strings.Contains(format, "$context.path") || strings.Contains(format, "authorizer") {
			t.Errorf("%s: want neither paths nor tokens, got %s", id, format)
		}
	}
	quiet := translate(t)
	if logs, ok := quiet.resource("AWS::ApiGateway::Stage", "ServiceApiv1Stage")["AccessLogSetting"]; ok {
		t.Errorf("want no access logs of the Service API unless asked for, got %v", logs)
	}
	if managed := quiet.resources("AWS::ApiGateway::Account"); len(managed) != 0 {
		t.Errorf("want the account's settings left alone unless asked for, got %v", managed)
	}
	// The first deployment must set the account's role before the stage logs.
	managed := translate(t, "ManageApiGatewayAccount=true")
	if got := fmt.Sprint(managed.resource("AWS::Logs::LogGroup", "ServiceApiLogGroup")["Tags"]); !strings.Contains(got, "ApiGatewayAccount") {
		t.Errorf("want the log group to wait for the account's role, got tags %s", got)
	}
	if managed.resource("AWS::ApiGateway::Stage", "ServiceApiv1Stage")["AccessLogSetting"] == nil {
		t.Error("want access logs of the Service API where the stack manages the account's role")
	}
}

func TestProdDeploysACanaryAndDevAllAtOnce(t *testing.T) {
	t.Parallel()
	for environment, config := range map[string]string{
		"prod": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
		"dev":  "CodeDeployDefault.LambdaAllAtOnce",
	} {
		s := translate(t, "Environment="+environment, "AlarmEmail=ops@example.com")
		for id := range functions {
			group := s.resource("AWS::CodeDeploy::DeploymentGroup", id+"FunctionDeploymentGroup")
			if group["DeploymentConfigName"] != config {
				t.Errorf("%s %s: want %s, got %v", environment, id, config, group["DeploymentConfigName"])
			}
			rollback := group["AutoRollbackConfiguration"]
			if dig(rollback, "Enabled") != "true" || !slices.Contains(texts(dig(rollback, "Events")), "DEPLOYMENT_STOP_ON_ALARM") {
				t.Errorf("%s %s: want a rollback on alarms, got %v", environment, id, rollback)
			}
			var alarms []string
			for _, alarm := range dig(group, "AlarmConfiguration", "Alarms").(list) {
				alarms = append(alarms, dig(alarm, "Name").(string))
			}
			same(t, environment+" "+id+": alarms that roll back", alarms, []string{id + "NewVersionErrorsAlarm", "ServerErrorsAlarm"})
			alias := s.resource("AWS::Lambda::Alias", id+"FunctionAliaslive")
			if alias["Name"] != "live" {
				t.Errorf("%s %s: want the alias live, got %v", environment, id, alias["Name"])
			}
			if policy := dig(s.Template.Body, "Resources", id+"FunctionAliaslive", "UpdatePolicy", "CodeDeployLambdaAliasUpdate"); policy == nil {
				t.Errorf("%s %s: want the alias moved by CodeDeploy", environment, id)
			}
		}
	}
	for id, group := range translate(t, "Monitoring=false").resources("AWS::CodeDeploy::DeploymentGroup") {
		if alarms := dig(group, "AlarmConfiguration", "Alarms"); alarms != nil {
			t.Errorf("%s: want no alarms where none are made, got %v", id, alarms)
		}
	}
}

// A changed parameter has to reach the alias: SAM makes a version when the
// template changes, CloudFormation when a property of the version does.
func TestEveryParameterOfAFunctionsConfigurationMakesANewVersion(t *testing.T) {
	t.Parallel()
	template := source(t)
	shared := dig(template, "Globals", "Function")
	for id := range functions {
		properties := dig(template, "Resources", id+"Function", "Properties").(object)
		used := map[string]bool{}
		for _, property := range []string{"Environment", "Timeout", "MemorySize", "LoggingConfig", "Tracing"} {
			references(template, list{properties[property], dig(shared, property)}, used)
		}
		described := map[string]bool{}
		references(template, properties["VersionDescription"], described)
		same(t, id+": parameters in VersionDescription", sortedKeys(described), sortedKeys(used))
	}

	text := func(s stack) map[string]string {
		all := map[string]string{}
		for id, version := range s.resources("AWS::Lambda::Version") {
			all[id] = version["Description"].(string)
			if n := len(all[id]); n > 256 {
				t.Errorf("%s: want a description of at most 256 characters, got %d", id, n)
			}
		}
		return all
	}
	before := text(translate(t))
	after := text(translate(t, "ParameterTtl=60", "OidcIssuer=https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3",
		"OidcAudience=7h57kcl2s9b1nq0jq4p8v5xa1b", "UserIdHeaderKey=miauserproperties._id", "HookFunctionArn="+hookARN))
	if len(before) != len(functions) {
		t.Errorf("want a version of each function, got %q", sortedKeys(before))
	}
	for id := range before {
		if before[id] == after[id] {
			t.Errorf("%s: want another description for other parameters, got %q again", id, after[id])
		}
	}
}

// longSettings is the description that changes the name of the resource, for what
// does not fit a version's.
func longSettings(template object) any {
	return dig(template, "Resources", "LongSettings", "Properties", "Description")
}

// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
func TestLongSettingsFitTheDescriptionOfAPolicy(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	references(source(t), object{"Description": longSettings(source(t))}, used)
	n := len(used) - 1
	for id := range used {
		length, err := strconv.Atoi(fmt.Sprint(dig(source(t), "Parameters", id, "MaxLength")))
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		n += length
	}
	if n > 1000 {
		t.Errorf("want at most 1000 characters for %q, got %d", sortedKeys(used), n)
	}
	if policy := translate(t).resource("AWS::IAM::ManagedPolicy", "LongSettings"); policy["ManagedPolicyName"] != nil || policy["Roles"] != nil {
		t.Errorf("want a policy of nobody's with a name that CloudFormation makes, got %v", policy)
	}
}

// references adds the template parameters that v depends on, by way of
// conditions and of LongSettings too.
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
				for _, match := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(fmt.Sprint(item), -1) {
					if parameters[match[1]] != nil {
						found[match[1]] = true
					}
					if match[1] == "LongSettings" {
						references(template, longSettings(template), found)
					}
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
	client := "https://ClientApi.execute-api.eu-central-1.amazonaws.com"
	service := "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"
	for id, want := range map[string]string{
		"ClientApiUrl":   client,
		"ConfigUrl":      client + "/config",
		"TokenUrl":       client + "/token",
		"ApiKeyUrl":      client + "/api-key",
		"WebhookUrl":     client + "/webhook",
		"ServiceApiUrl":  service,
		"ProxyUrl":       service + "/proxy",
		"ServiceApiArn":  "arn:aws:execute-api:eu-central-1:123456789012:ServiceApi/v1",
		"ParameterPath":  "/chat-service",
		"LogGroupPrefix": "/aws/lambda/chat/",
		"DashboardUrl":   "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards/dashboard/Dashboard",
	} {
		if got := s.eval(dig(s.Template.Body, "Outputs", id, "Value")); got != want {
			t.Errorf("%s: want %s, got %v", id, want, got)
		}
		if dig(s.Template.Body, "Outputs", id, "Description") == nil {
			t.Errorf("%s: want a description", id)
		}
	}
}
