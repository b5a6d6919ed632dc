package stacktest

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A grant is one action on one resource that a statement allows.
type grant struct{ action, resource, condition string }

func (g grant) String() string {
	return strings.TrimSpace(g.action + " " + g.resource + " " + g.condition)
}

// grants returns what a policy document allows. Any statement but a plain Allow
// of actions on resources fails the test.
func grants(t *testing.T, document any) (all []grant) {
	t.Helper()
	for _, v := range dig(document, "Statement").(list) {
		statement := v.(object)
		unknown := slices.DeleteFunc(sortedKeys(statement), func(key string) bool {
			return slices.Contains([]string{"Sid", "Effect", "Action", "Resource", "Condition"}, key)
		})
		if len(unknown) > 0 || statement["Effect"] != "Allow" {
			t.Errorf("want a plain Allow of actions on resources, got %v", statement)
		}
		condition := ""
		if statement["Condition"] != nil {
			text, _ := json.Marshal(statement["Condition"])
			condition = string(text)
		}
		for _, action := range texts(statement["Action"]) {
			for _, resource := range texts(statement["Resource"]) {
				all = append(all, grant{action, resource, condition})
			}
		}
	}
	return all
}

// inlineGrants returns what the inline policies of a role or user allow.
func inlineGrants(t *testing.T, properties any) (lines []string) {
	t.Helper()
	policies, _ := dig(properties, "Policies").(list)
	for _, policy := range policies {
		for _, g := range grants(t, dig(policy, "PolicyDocument")) {
			lines = append(lines, g.String())
		}
	}
	return lines
}

// allowed reports whether the grants, whatever their conditions, allow an action.
// As in IAM, * in a pattern is any text, and the case of actions does not matter.
func allowed(all []grant, action, resource string) bool {
	matches := func(pattern, text string) bool {
		return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(text)
	}
	return slices.ContainsFunc(all, func(g grant) bool {
		return matches(strings.ToLower(g.action), strings.ToLower(action)) && matches(g.resource, resource)
	})
}

func TestEachRoleMayDoWhatItsFunctionDoesAndNoMore(t *testing.T) {
	t.Parallel()
	on := func(resource string, actions ...string) (lines []string) {
		for _, action := range actions {
			lines = append(lines, action+" "+resource)
		}
		return lines
	}
	for _, stack := range []struct {
		overrides []string
		prefix    string
		features  bool
	}{
		{nil, "/chat", false},
		{full, "/acme/prod/chat", true},
	} {
		parameters := "arn:aws:ssm:eu-central-1:123456789012:parameter" + stack.prefix
		key, secret, previous := parameters+"/stream/api-key", parameters+"/stream/api-secret", parameters+"/stream/api-secret-previous"
		previousKey, configs := key+"-previous", parameters+"/client-config"
		pairs := slices.Concat(on(key, "ssm:GetParameters"), on(secret, "ssm:GetParameters"), on(previousKey, "ssm:GetParameters"), on(previous, "ssm:GetParameters"))
		want := map[string][]string{
			"Token":   slices.Clone(pairs),
			"ApiKey":  on(key, "ssm:GetParameters"),
			"Config":  slices.Concat(pairs, on(configs, "ssm:GetParametersByPath"), on(configs+"/*", "ssm:GetParameters", "ssm:GetParametersByPath")),
			"Webhook": slices.Clone(pairs),
			"Proxy":   slices.Clone(pairs),
		}
		add := func(id string, lines ...string) { want[id] = append(want[id], lines...) }
		add("Webhook", "events:PutEvents ChatEventBus.Arn", "sqs:SendMessage FallbackQueue.Arn", "s3:PutObject LargeEventsBucket.Arn/*")
		services := map[string]string{"CodeDeployRole": "codedeploy.amazonaws.com arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"}
		if stack.features {
			const via = `"kms:ViaService":"ssm.eu-central-1.amazonaws.com"}`
			decrypt := func(names ...string) string {
				return "kms:Decrypt " + kmsARN + ` {"StringEquals":{"kms:EncryptionContext:PARAMETER_ARN":["` + strings.Join(names, `","`) + `"],` + via + `}`
			}
			add("Token", decrypt(secret, previous))
			add("Config", "kms:Decrypt "+kmsARN+` {"StringEquals":{`+via+`,"StringLike":{"kms:EncryptionContext:PARAMETER_ARN":["`+secret+`","`+previous+`","`+configs+`/*"]}}`)
			add("Webhook", decrypt(secret, previous))
			add("Proxy", decrypt(secret, previous))
			const uses = ` {"StringEquals":{"kms:ViaService":["sqs.eu-central-1.amazonaws.com","s3.eu-central-1.amazonaws.com"]}}`
			add("Webhook", "kms:GenerateDataKey "+kmsARN+uses, "kms:Decrypt "+kmsARN+uses)
			add("Webhook", on(hookARN, "lambda:InvokeFunction")...)
			add("Token", on(signInARN, "lambda:InvokeFunction")...)
			add("Config", on(signInARN, "lambda:InvokeFunction")...)
			for _, queue := range []string{"StreamEventsQueue.Arn", "StreamDeadLetterQueue.Arn"} {
				add("Webhook", on(queue, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")...)
			}
			for id := range want {
				add(id, on("*", "xray:PutTraceSegments", "xray:PutTelemetryRecords")...)
			}
		} else {
			services["ApiGatewayAccountRole"] = "apigateway.amazonaws.com arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
		}
		s := translate(t, stack.overrides...)
		for id, role := range s.all("AWS::IAM::Role") {
			function := strings.TrimSuffix(id, "Role")
			service, managed, _ := strings.Cut(services[id], " ")
			if functions[function] != "" {
				service = "lambda.amazonaws.com"
				add(function, on(function+"LogGroup.Arn", "logs:CreateLogStream", "logs:PutLogEvents")...)
			}
			same(t, id, inlineGrants(t, role), want[function])
			if got := role["PermissionsBoundary"]; stack.features != (got == boundaryARN) {
				t.Errorf("%s: want the boundary if one is given, got %v", id, got)
			}
			same(t, id+": managed policies", texts(role["ManagedPolicyArns"]), strings.Fields(managed))
			statements := dig(role, "AssumeRolePolicyDocument", "Statement").(list)
			trust := fmt.Sprint(dig(statements[0], "Effect"), " ", texts(dig(statements[0], "Action")), " ", texts(dig(statements[0], "Principal", "Service")))
			if len(statements) != 1 || trust != "Allow [sts:AssumeRole] ["+service+"]" || len(dig(statements[0], "Principal").(object)) != 1 {
				t.Errorf("%s: want a role that only %s may assume, got %v", id, service, statements)
			}
		}
		if got := s.all("AWS::IAM::Role"); len(got) != len(want)+len(services) {
			t.Errorf("want %d roles, got %q", len(want)+len(services), sortedKeys(got))
		}
	}
	// API Gateway is one service for all accounts: without this, an API of another account could write logs here.
	trust := dig(translate(t).get("ApiGatewayAccountRole"), "AssumeRolePolicyDocument", "Statement").(list)[0]
	if got := fmt.Sprint(dig(trust, "Condition")); got != "map[StringEquals:map[aws:SourceAccount:123456789012]]" {
		t.Errorf("want API Gateway's role assumed for this account only, got %s", got)
	}
}

func TestSamplePoliciesGrantWhatTheirNamesSay(t *testing.T) {
	t.Parallel()
	// As in the output ServiceApiArn.
	const api = "arn:aws:execute-api:REGION:ACCOUNT:SERVICE_API_ID/v1"
	for file, calls := range map[string]struct{ allowed, denied []string }{
		"upsert-users.json": {
			[]string{"/POST/proxy/users", "/POST/proxy/api/v2/users"},
			[]string{
				"/GET/proxy/users", "/PATCH/proxy/users", "/POST/proxy/api/v2/users/deactivate", "/PATCH/proxy/api/v2/users", "/DELETE/proxy/users", "/POST/proxy/users/deactivate", "/POST/proxy/users/", "/POST/proxy/channels",
				"/POST/proxy/users/../app", "/POST/proxy/users%2F..%2Fapp", "/POST/proxy/users%2fdelete", "/POST/proxy/users;x/../app",
				"/POST/proxy//users", "/POST/proxy/%75sers", "/POST/proxy/users?user_id=bob", "/post/proxy/users",
				"/GET/token/alice", "/GET/config", "/POST/webhook/verify",
			},
		},
		"full-access.json": {
			[]string{"/GET/token/alice", "/GET/api-key", "/GET/config", "/POST/webhook/verify", "/DELETE/proxy/messages/message"}, nil,
		},
	} {
		text, err := os.ReadFile("docs/policies/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var document object
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all := grants(t, document)
		check := func(action, resource string, want bool) {
			if got := allowed(all, action, resource); got != want {
				t.Errorf("%s: %s on %s: want allowed %t, got %t", file, action, resource, want, got)
			}
		}
		for _, call := range calls.allowed {
			check("execute-api:Invoke", api+call, true)
		}
		for _, call := range calls.denied {
			check("execute-api:Invoke", api+call, false)
		}
		for _, action := range []string{"execute-api:ManageConnections", "execute-api:InvalidateCache", "lambda:InvokeFunction"} {
			check(action, api+"/POST/proxy/users", false)
		}
		check("execute-api:Invoke", strings.Replace(api, "SERVICE_API_ID", "other", 1)+"/POST/proxy/users", false)
	}
}
