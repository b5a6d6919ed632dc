package stacktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An integration is one operation of an API's definition.
type integration struct {
	route    string // "GET /config → config"
	function string // logical id
	streamed bool
	object   object // x-amazon-apigateway-integration
	security any    // of the operation
}

// integrations returns the operations of an API, all of which call the alias live.
func integrations(t *testing.T, s stack, api string) (all []integration) {
	t.Helper()
	for path, methods := range s.get(api, "Body", "paths").(object) {
		for method, operation := range methods.(object) {
			i := integration{security: dig(operation, "security")}
			i.object, _ = dig(operation, "x-amazon-apigateway-integration").(object)
			i.streamed = i.object["responseTransferMode"] == "STREAM"
			match := regexp.MustCompile(`functions/(\w+)FunctionAliaslive/`).FindStringSubmatch(fmt.Sprint(i.object["uri"]))
			if match == nil {
				t.Fatalf("%s %s: want a call of the alias live, got %v", method, path, i.object["uri"])
			}
			i.route = strings.ToUpper(method) + " " + path + " → " + functions[match[1]]
			i.function = match[1] + "Function"
			all = append(all, i)
		}
	}
	return all
}

func TestServiceApiRoutesAreSignedAndTheProxyIsStreamed(t *testing.T) {
	t.Parallel()
	s := translate(t)
	var routes []string
	for _, i := range integrations(t, s, "ServiceApi") {
		routes = append(routes, i.route)
		if got := fmt.Sprint(i.security); got != "[map[AWS_IAM:[]]]" {
			t.Errorf("%s: want AWS_IAM and nothing else, got %s", i.route, got)
		}
		if credentials, ok := i.object["credentials"]; ok {
			t.Errorf("%s: want the function called by its resource policy, got credentials %v", i.route, credentials)
		}
		if i.object["type"] != "aws_proxy" {
			t.Errorf("%s: want aws_proxy, got %v", i.route, i.object["type"])
		}
		proxy, version, verb := strings.HasSuffix(i.route, " → proxy"), "2015-03-31", "/invocations"
		if proxy {
			version, verb = "2021-11-15", "/response-streaming-invocations"
		}
		if uri := fmt.Sprint(i.object["uri"]); i.streamed != proxy || !strings.Contains(uri, version) || !strings.HasSuffix(uri, verb) {
			t.Errorf("%s: want streamed %t and a URI of %s that ends in %s, got %t, %s", i.route, proxy, version, verb, i.streamed, uri)
		}
	}
	same(t, "routes", routes, []string{
		"GET /token/{userId} → token", "GET /api-key → apikey", "GET /config → config", "POST /webhook/verify → webhook",
		"GET /proxy/{path+} → proxy", "POST /proxy/{path+} → proxy", "PUT /proxy/{path+} → proxy", "PATCH /proxy/{path+} → proxy", "DELETE /proxy/{path+} → proxy",
	})
	if auth := s.get("ServiceApi", "Body", "securityDefinitions", "AWS_IAM", "x-amazon-apigateway-authtype"); auth != "awsSigv4" {
		t.Errorf("want AWS_IAM to be awsSigv4, got %v", auth)
	}
	same(t, "binary media types", texts(s.get("ServiceApi", "BinaryMediaTypes")), []string{
		"multipart/form-data", "application/octet-stream", "image/*", "video/*", "audio/*", "application/gzip", "application/pdf",
	})
}

func TestClientApiIsPublicWithCORS(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	var routes []string
	for _, i := range integrations(t, s, "ClientApi") {
		routes = append(routes, i.route)
		if i.security != nil || i.object["payloadFormatVersion"] != "2.0" {
			t.Errorf("%s: want a public route with payload 2.0, got %v, %v", i.route, i.security, i.object["payloadFormatVersion"])
		}
	}
	same(t, "routes", routes, []string{
		"GET /token/{userId} → token", "GET /api-key → apikey", "GET /config → config", "POST /webhook → webhook", "POST /webhook/PassOnPendingMessage → webhook", "POST /webhook/DeletedPendingMessage → webhook",
	})
	cors := s.get("ClientApi", "Body", "x-amazon-apigateway-cors")
	same(t, "origins", texts(dig(cors, "allowOrigins")), []string{"https://a.example.com", "https://b.example.com"})
	same(t, "methods", texts(dig(cors, "allowMethods")), []string{"GET"})
	headers := texts(dig(cors, "allowHeaders"))
	for _, name := range []string{"authorization", "baggage", "sentry-trace", "traceparent", "tracestate", "x-datadog-trace-id", "x-app", "x-team"} {
		if !slices.Contains(headers, name) {
			t.Errorf("want the header %s allowed, got %q", name, headers)
		}
	}
	same(t, "headers that scripts can read", texts(dig(cors, "exposeHeaders")), []string{"retry-after"})
	if dig(cors, "allowCredentials") != nil {
		t.Errorf("want no cookies across origins, got %v", cors)
	}
	if cors := translate(t, off...).get("ClientApi", "Body", "x-amazon-apigateway-cors"); cors != nil {
		t.Errorf("want no CORS without an origin, got %v", cors)
	}
}

func TestTimeoutsGrowFromTheInsideOut(t *testing.T) {
	t.Parallel()
	const firstByte = 25_000 // ms that the proxy waits for Stream
	s := translate(t)
	for limit, api := range map[int]string{29_000: "ServiceApi", 30_000: "ClientApi"} {
		for _, i := range integrations(t, s, api) {
			limit, function, got := limit, 1000*number(t, s.get(i.function, "Timeout")), number(t, i.object["timeoutInMillis"])
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

// A flood on one route must not use up the limit of another.
func TestEachRouteHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	limits := func(settings any) string {
		return fmt.Sprint(dig(settings, "ThrottlingRateLimit"), " ", dig(settings, "ThrottlingBurstLimit"))
	}
	got := map[string]string{"client": limits(s.get("ClientApiApiGatewayDefaultStage", "DefaultRouteSettings"))}
	for route, settings := range s.get("ClientApiApiGatewayDefaultStage", "RouteSettings").(object) {
		got["client "+route] = limits(settings)
	}
	for _, settings := range s.get("ServiceApiv1Stage", "MethodSettings").(list) {
		// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-apigateway-stage-methodsetting.html
		path := strings.ReplaceAll(strings.TrimPrefix(dig(settings, "ResourcePath").(string), "/"), "~1", "/")
		got["service "+dig(settings, "HttpMethod").(string)+" "+path] = limits(settings)
		if trace := dig(settings, "DataTraceEnabled"); trace != nil && trace != "false" {
			t.Errorf("%s: want no data trace, which would log bodies and tokens", path)
		}
	}
	want := map[string]string{"client": "11 12", "service * *": "15 16"}
	for _, i := range integrations(t, s, "ClientApi") {
		route, function, _ := strings.Cut(i.route, " → ")
		want["client "+route] = map[bool]string{false: "11 12", true: "13 14"}[function == "webhook"]
		if strings.Contains(route, "PendingMessage") {
			want["client "+route] = "50 500" // of Size, whatever WebhookLimit is
		}
	}
	for _, i := range integrations(t, s, "ServiceApi") {
		route, _, _ := strings.Cut(i.route, " → ")
		want["service "+route] = "15 16"
	}
	// Stream's route is the only one of its API.
	got["stream"], want["stream"] = limits(s.get("WebhookStage", "DefaultRouteSettings")), "13 14"
	if !maps.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
	// A deployment with StageName would make a second stage, without limits.
	if stages := s.all("AWS::ApiGateway::Stage"); len(stages) != 1 {
		t.Errorf("want one stage of the Service API, got %q", sortedKeys(stages))
	}
	for id, deployment := range s.all("AWS::ApiGateway::Deployment") {
		if deployment["StageName"] != nil {
			t.Errorf("%s: want a deployment without a stage, got %v", id, deployment["StageName"])
		}
	}
}

const webhookPath = "/webhook/00000000-0000-0000-0000-000000000000" // with the stack's id

// Requests to any other path reach no route, so they cannot use up the limit of Stream's.
func TestStreamCallsAnAddressThatNobodyCanGuess(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		overrides []string
		path      string
	}{{nil, webhookPath}, {clientDomain, webhookPath}, {full, webhookPath + "-rotated"}} {
		s := translate(t, test.overrides...)
		if got := s.output(t, "WebhookUrl"); got != "https://WebhookApi.execute-api.eu-central-1.amazonaws.com"+test.path {
			t.Errorf("%q: want an address of its own, whatever the Client API's is, got %v", test.overrides, got)
		}
		for _, property := range []struct {
			id, path string
			want     string
		}{
			{"WebhookRoute", "RouteKey", "POST " + test.path},
			{"WebhookRoute", "Target", "integrations/WebhookIntegration"},
			{"WebhookCallbackRoute", "RouteKey", "POST " + test.path + "/{callback}"},
			{"WebhookCallbackRoute", "Target", "integrations/WebhookIntegration"},
			{"WebhookIntegration", "IntegrationUri", "WebhookFunctionAliaslive"},
			{"WebhookIntegration", "PayloadFormatVersion", "2.0"},
			{"WebhookPermission", "FunctionName", "WebhookFunctionAliaslive"},
			{"WebhookPermission", "SourceArn", "arn:aws:execute-api:eu-central-1:123456789012:WebhookApi/*"},
		} {
			if got := s.get(property.id, property.path); got != property.want {
				t.Errorf("%s: %s: want %s, got %v", property.id, property.path, property.want, got)
			}
		}
	}
}

func TestDomainNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		parameters             []string
		domains                int
		clientClosed, closed   string
		clientURL, serviceBase string
	}{
		{nil, 0, "false", "false", "https://ClientApi.execute-api.eu-central-1.amazonaws.com", "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"},
		{clientDomain, 1, "true", "false", "https://chat.example.com", "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"},
		{bothDomains, 2, "true", "true", "https://chat.example.com", "https://internal.chat.example.com"},
		{edge, 0, "true", "false", "https://ClientApi.execute-api.eu-central-1.amazonaws.com", "https://ServiceApi.execute-api.eu-central-1.amazonaws.com/v1"},
		{openDomains, 2, "false", "false", "https://chat.example.com", "https://internal.chat.example.com"},
	} {
		s := translate(t, test.parameters...)
		domains, mappings := s.all("AWS::ApiGatewayV2::DomainName"), s.all("AWS::ApiGatewayV2::ApiMapping")
		if len(domains) != test.domains || len(mappings) != test.domains {
			t.Errorf("%q: want %d domains and mappings, got %q, %q", test.parameters, test.domains, sortedKeys(domains), sortedKeys(mappings))
		}
		for id, domain := range domains {
			if got := fmt.Sprint(domain["DomainNameConfigurations"]); got != "[map[CertificateArn:"+certificateARN+" EndpointType:REGIONAL SecurityPolicy:TLS_1_2]]" {
				t.Errorf("%s: want a regional domain with the certificate and TLS 1.2, got %s", id, got)
			}
			api := strings.TrimSuffix(id, "Domain")
			stage := map[string]string{"Client": "ClientApiApiGatewayDefaultStage", "Service": "ServiceApiv1Stage"}[api]
			if got := fmt.Sprint(mappings[api+"Mapping"]); got != "map[ApiId:"+api+"Api DomainName:"+id+" Stage:"+stage+"]" {
				t.Errorf("%s: want all of the API below it, got %s", id, got)
			}
		}
		const extension, disabled = "x-amazon-apigateway-endpoint-configuration", "disableExecuteApiEndpoint"
		if got := fmt.Sprint(dig(s.get("ClientApi", "Body", "servers").(list)[0], extension, disabled)); got != test.clientClosed {
			t.Errorf("%q: want the Client API's own endpoint off: %s, got %s", test.parameters, test.clientClosed, got)
		}
		if got := fmt.Sprint(s.get("ServiceApi", "Body", extension, disabled)); got != test.closed {
			t.Errorf("%q: want the Service API's own endpoint off: %s, got %s", test.parameters, test.closed, got)
		}
		for output, want := range map[string]string{
			"ClientApiUrl": test.clientURL, "WebhookUrl": "https://WebhookApi.execute-api.eu-central-1.amazonaws.com" + webhookPath, "ServiceApiUrl": test.serviceBase, "ProxyUrl": test.serviceBase + "/proxy",
		} {
			if got := s.output(t, output); got != want {
				t.Errorf("%q: %s: want %s, got %v", test.parameters, output, want, got)
			}
		}
	}
	// A REST API's endpoint is switched by a new deployment, which has a new name.
	if deployments(translate(t, openDomains...)) == deployments(translate(t, bothDomains...)) {
		t.Error("want another deployment with KeepExecuteApi")
	}
	if before, after := deployments(translate(t, clientDomain...)), deployments(translate(t, bothDomains...)); before != deployments(translate(t)) || before == after {
		t.Errorf("want another deployment with the Service API's domain only, got %s, then %s", before, after)
	}
}

// deployments returns the names of a stack's deployments of the Service API.
func deployments(s stack) string { return fmt.Sprint(sortedKeys(s.all("AWS::ApiGateway::Deployment"))) }

func TestServiceApiPolicyOpensNothingWithinTheAccount(t *testing.T) {
	t.Parallel()
	policy := func(s stack) (statements []string) {
		for _, statement := range s.get("ServiceApi", "Body", "x-amazon-apigateway-policy", "Statement").(list) {
			statements = append(statements, fmt.Sprint(statement))
		}
		return statements
	}
	const insecure = "map[Action:execute-api:Invoke Condition:map[Bool:map[aws:SecureTransport:false]] Effect:Deny Principal:* Resource:execute-api:/*]"
	same(t, "policy by default", policy(translate(t)), []string{insecure})
	same(t, "policy with endpoints and accounts", policy(translate(t, private...)), []string{
		insecure,
		"map[Action:execute-api:Invoke Condition:map[StringNotEquals:map[aws:SourceVpce:[vpce-0a vpce-0b]]] Effect:Deny Principal:* Resource:execute-api:/*]",
		"map[Action:execute-api:Invoke Effect:Allow Principal:map[AWS:[111122223333 444455556666]] Resource:execute-api:/*]",
	})
	// A new policy takes effect with a new deployment, which has a new name.
	if before, after := deployments(translate(t)), deployments(translate(t, private...)); before == after {
		t.Errorf("want another deployment for another policy, got %s again", after)
	}
}

func TestAccessLogsAreJSONWithoutUsersPaths(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	for id, format := range map[string]any{
		"Client API":  s.get("ClientApiApiGatewayDefaultStage", "AccessLogSettings", "Format"),
		"Service API": s.get("ServiceApiv1Stage", "AccessLogSetting", "Format"),
	} {
		format := fmt.Sprint(format)
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
}

// API Gateway gives the request that starts a process 14.5 s: for the start, and for
// each thing that the request may then wait for.
func TestAStartAndAFirstRequestFitIntoTheIntegrationsTimeout(t *testing.T) {
	t.Parallel()
	sum := 0
	for _, name := range []string{
		`initTimeout`,                     // what is read at the start
		`patience`,                        // Parameter Store, throttling
		`fetchTimeout`, `userInfoTimeout`, // the issuer
		`timeout`, // Stream, with SyncUsers, and the function that decides who signs in
	} {
		units := map[string]int{"Second": 1000, "Millisecond": 1}
		found := inCode(t, `(?m)^(?:const |\s)`+name+`\s+= (?:(\d+) \* )?(time\.\w+)$`)
		if len(found) == 0 {
			t.Fatalf("want a constant %s", name)
		}
		for _, constant := range found {
			n, unit, _ := strings.Cut(constant, "time.")
			sum += number(t, cmp.Or(n, "1")) * units[unit]
		}
	}
	if limit := number(t, integrations(t, translate(t), "ClientApi")[0].object["timeoutInMillis"]); sum > limit-500 {
		t.Errorf("want all waits of a first request in less than API Gateway's %d ms, got %d ms", limit, sum)
	}
}
