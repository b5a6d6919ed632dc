package stacktest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const (
	ssmARN = "arn:aws:ssm:eu-central-1:123456789012:parameter"
	kmsARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// A grant is one action on one resource that a statement allows.
type grant struct {
	action, resource, condition string
}

func (g grant) String() string {
	return strings.TrimSpace(g.action + " " + g.resource + " " + g.condition)
}

// grants lists what a policy document allows. Statements of any other kind than
// a plain Allow of actions on resources fail the test.
func grants(t *testing.T, document any) (all []grant) {
	t.Helper()
	for _, v := range dig(document, "Statement").(list) {
		statement := v.(object)
		for key := range statement {
			if !slices.Contains([]string{"Sid", "Effect", "Action", "Resource", "Condition"}, key) {
				t.Errorf("want Effect, Action, Resource and Condition, got %s", key)
			}
		}
		if statement["Effect"] != "Allow" {
			t.Errorf("want Allow, got %v", statement["Effect"])
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

// matches reports whether IAM's pattern, with * and ?, matches text.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
func matches(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	switch pattern[0] {
	case '*':
		return matches(pattern[1:], text) || text != "" && matches(pattern, text[1:])
	case '?':
		return text != "" && matches(pattern[1:], text[1:])
	}
	return text != "" && pattern[0] == text[0] && matches(pattern[1:], text[1:])
}

// allowed reports whether the grants, whatever their conditions, may allow the
// action. Actions are compared without regard to case, as IAM does.
func allowed(all []grant, action, resource string) bool {
	return slices.ContainsFunc(all, func(g grant) bool {
		return matches(strings.ToLower(g.action), strings.ToLower(action)) && matches(g.resource, resource)
	})
}

// roleGrants is what a role's inline policies allow. Managed policies fail the
// test: nobody here could say what they allow tomorrow.
func roleGrants(t *testing.T, id string, role object) (all []grant) {
	t.Helper()
	if managed := role["ManagedPolicyArns"]; managed != nil {
		t.Errorf("%s: want no managed policy, got %v", id, managed)
	}
	policies, _ := role["Policies"].(list)
	for _, policy := range policies {
		all = append(all, grants(t, dig(policy, "PolicyDocument"))...)
	}
	return all
}

func TestIAMWildcardsMatchAsAtAWS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"ssm:GetParameters", "ssm:GetParameters", true},
		{"ssm:GetParameters", "ssm:GetParametersByPath", false},
		{"ssm:Get*", "ssm:GetParametersByPath", true},
		{"*", "", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"parameter/x/*", "parameter/x/y/z", true},
		{"parameter/x/*", "parameter/x", false},
		{"*secret*", "stream/api-secret", true},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: want %t, got %t", c.pattern, c.text, c.want, got)
		}
	}
}

func TestEachRoleMayDoWhatItsFunctionDoesAndNoMore(t *testing.T) {
	t.Parallel()
	log := func(id string) []string {
		return []string{"logs:CreateLogStream " + id + "LogGroup.Arn", "logs:PutLogEvents " + id + "LogGroup.Arn"}
	}
	get := func(prefix string, names ...string) (lines []string) {
		for _, name := range names {
			lines = append(lines, "ssm:GetParameters "+ssmARN+prefix+"/stream/"+name)
		}
		return lines
	}
	decrypt := func(prefix string, names ...string) []string {
		for i, name := range names {
			names[i] = `"` + ssmARN + prefix + "/stream/" + name + `"`
		}
		return []string{"kms:Decrypt " + kmsARN + ` {"StringEquals":{"kms:EncryptionContext:PARAMETER_ARN":[` + strings.Join(names, ",") +
			`],"kms:ViaService":"ssm.eu-central-1.amazonaws.com"}}`}
	}
	for _, prefix := range []string{"/chat-service", "/acme/prod/chat"} {
		byPath := []string{
			"ssm:GetParametersByPath " + ssmARN + prefix,
			"ssm:GetParametersByPath " + ssmARN + prefix + "/*",
		}
		plain := map[string][]string{
			"TokenRole":  slices.Concat(log("Token"), get(prefix, "api-key", "api-secret")),
			"ApiKeyRole": slices.Concat(log("ApiKey"), get(prefix, "api-key")),
			"ConfigRole": slices.Concat(log("Config"), byPath),
			"WebhookRole": slices.Concat(log("Webhook"), get(prefix, "api-key", "api-secret", "api-secret-previous"),
				[]string{"events:PutEvents ChatEventBus.Arn", "sqs:SendMessage FallbackQueue.Arn", "s3:PutObject LargeEventsBucket.Arn/*"}),
			"ProxyRole": slices.Concat(log("Proxy"), get(prefix, "api-key", "api-secret")),
		}
		withKey := map[string][]string{
			"TokenRole": decrypt(prefix, "api-secret"),
			"ConfigRole": {"kms:Decrypt " + kmsARN + ` {"StringEquals":{"kms:ViaService":"ssm.eu-central-1.amazonaws.com"},` +
				`"StringLike":{"kms:EncryptionContext:PARAMETER_ARN":"` + ssmARN + prefix + `/*"}}`},
			"WebhookRole": decrypt(prefix, "api-secret", "api-secret-previous"),
			"ProxyRole":   decrypt(prefix, "api-secret"),
		}
		for _, key := range []string{"", kmsARN} {
			roles := translate(t, "ParameterPrefix="+prefix, "KmsKeyArn="+key).resources("AWS::IAM::Role")
			// SAM's own, for CodeDeploy, which moves the aliases.
			checkServiceRole(t, roles, "CodeDeployServiceRole", "codedeploy.amazonaws.com", "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda")
			for id, role := range roles {
				want, ok := plain[id]
				if !ok {
					t.Errorf("want a role known here, got %s", id)
					continue
				}
				if key != "" {
					want = slices.Concat(want, withKey[id])
				}
				var got []string
				for _, g := range roleGrants(t, id, role) {
					got = append(got, g.String())
				}
				same(t, id, got, slices.Clone(want))
				checkTrust(t, id, role, "lambda.amazonaws.com")
			}
			if len(roles) != len(plain) {
				t.Errorf("want %d roles, got %q", len(plain), sortedKeys(roles))
			}
		}
	}
}

func TestApiGatewaysRoleWritesLogsOnly(t *testing.T) {
	t.Parallel()
	roles := translate(t, "ManageApiGatewayAccount=true").resources("AWS::IAM::Role")
	// All accounts share the service's name: without this, an API of another account could write logs here.
	trust, _ := json.Marshal(dig(roles["ApiGatewayAccountRole"], "AssumeRolePolicyDocument", "Statement"))
	if want := `"Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"}}`; !strings.Contains(string(trust), want) {
		t.Errorf("want %s, got %s", want, trust)
	}
	checkServiceRole(t, roles, "ApiGatewayAccountRole", "apigateway.amazonaws.com", "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")
}

// checkServiceRole takes from roles the one that a service of AWS's works with,
// by the managed policy that AWS made for it.
func checkServiceRole(t *testing.T, roles map[string]object, id, service, policy string) {
	t.Helper()
	role, ok := roles[id]
	if !ok {
		t.Errorf("want a role %s, got %q", id, sortedKeys(roles))
		return
	}
	delete(roles, id)
	checkTrust(t, id, role, service)
	same(t, id, texts(role["ManagedPolicyArns"]), []string{policy})
	if role["Policies"] != nil {
		t.Errorf("%s: want no further policies, got %v", id, role["Policies"])
	}
}

func checkTrust(t *testing.T, id string, role object, service string) {
	t.Helper()
	for _, v := range dig(role, "AssumeRolePolicyDocument", "Statement").(list) {
		statement := v.(object)
		principal := statement["Principal"]
		if statement["Effect"] != "Allow" || fmt.Sprint(texts(statement["Action"])) != "[sts:AssumeRole]" ||
			fmt.Sprint(texts(dig(principal, "Service"))) != "["+service+"]" || len(principal.(object)) != 1 {
			t.Errorf("%s: want it assumed by %s alone, got %v", id, service, statement)
		}
	}
}

func TestSamplePoliciesGrantWhatTheirNamesSay(t *testing.T) {
	t.Parallel()
	// As in the output ServiceApiArn.
	api := "arn:aws:execute-api:REGION:ACCOUNT:SERVICE_API_ID/v1"
	for file, calls := range map[string]map[string]bool{
		"upsert-users.json": {
			"/POST/proxy/users":             true,
			"/GET/proxy/users":              false,
			"/PATCH/proxy/users":            false,
			"/DELETE/proxy/users":           false,
			"/POST/proxy/users/deactivate":  false,
			"/POST/proxy/users/":            false,
			"/POST/proxy/channels":          false,
			"/POST/proxy/users/../app":      false,
			"/POST/proxy/users%2F..%2Fapp":  false,
			"/POST/proxy/users%2fdelete":    false,
			"/POST/proxy/users;x/../app":    false,
			"/POST/proxy//users":            false,
			"/POST/proxy/%75sers":           false,
			"/POST/proxy/users?user_id=bob": false,
			"/post/proxy/users":             false,
			"/GET/token/alice":              false,
			"/GET/config":                   false,
			"/POST/webhook/verify":          false,
		},
		"full-access.json": {
			"/GET/token/alice":               true,
			"/GET/api-key":                   true,
			"/GET/config":                    true,
			"/POST/webhook/verify":           true,
			"/DELETE/proxy/messages/message": true,
		},
	} {
		text, err := os.ReadFile("docs/policies/" + file)
		if err != nil {
			t.Error(err)
			continue
		}
		var document object
		if err := json.Unmarshal(text, &document); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		all := grants(t, document)
		for call, want := range calls {
			if got := allowed(all, "execute-api:Invoke", api+call); got != want {
				t.Errorf("%s: want %s allowed: %t, got %t", file, call, want, got)
			}
		}
		for _, action := range []string{"execute-api:ManageConnections", "execute-api:InvalidateCache", "lambda:InvokeFunction"} {
			if allowed(all, action, api+"/POST/proxy/users") {
				t.Errorf("%s: want execute-api:Invoke alone, got %s", file, action)
			}
		}
		if allowed(all, "execute-api:Invoke", strings.Replace(api, "SERVICE_API_ID", "other", 1)+"/POST/proxy/users") {
			t.Errorf("%s: want one API alone", file)
		}
	}
}
