package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"chat-service-backend/ops/cfn"
)

const here = "eu-central-1:123456789012:"

// needs lists the calls that CloudFormation makes for each type of resource in
// template.yaml, and for those that SAM adds: to create, read, update, delete and
// tag it. Each is on a resource of the stack chat-service-prod.
var needs = map[string]map[string]string{
	"AWS::ApiGateway::Account": {
		"arn:aws:apigateway:eu-central-1::/account": "apigateway:GET PATCH",
	},
	"AWS::ApiGatewayV2::Api": {
		"arn:aws:apigateway:eu-central-1::/apis":    "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/apis/a1": "apigateway:GET PATCH DELETE",
	},
	"AWS::ApiGatewayV2::Integration": {
		"arn:aws:apigateway:eu-central-1::/apis/a1b2/integrations":    "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/apis/a1b2/integrations/a1": "apigateway:GET PATCH DELETE",
	},
	"AWS::ApiGatewayV2::Route": {
		"arn:aws:apigateway:eu-central-1::/apis/a1b2/routes":    "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/apis/a1b2/routes/a1": "apigateway:GET PATCH DELETE",
	},
	"AWS::ApiGatewayV2::Stage": {
		"arn:aws:apigateway:eu-central-1::/apis/a1b2/stages":    "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/apis/a1b2/stages/a1": "apigateway:GET PATCH DELETE",
	},
	"AWS::ApiGatewayV2::ApiMapping": {
		"arn:aws:apigateway:eu-central-1::/domainnames/chat.example.com/apimappings":   "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/domainnames/chat.example.com/apimappings/a": "apigateway:GET PATCH DELETE",
	},
	"AWS::ApiGatewayV2::DomainName": {
		"arn:aws:apigateway:eu-central-1::/domainnames":                  "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/domainnames/chat.example.com": "apigateway:GET PATCH DELETE",
	},
	"AWS::CloudWatch::Alarm": {
		"arn:aws:cloudwatch:" + here + "alarm:chat-service-prod-FunctionErrorsAlarm-1A": "cloudwatch:PutMetricAlarm DescribeAlarms DeleteAlarms ListTagsForResource TagResource UntagResource",
	},
	"AWS::CloudWatch::Dashboard": {
		"arn:aws:cloudwatch::123456789012:dashboard/chat-service-prod-eu-central-1": "cloudwatch:PutDashboard GetDashboard DeleteDashboards",
	},
	"AWS::Events::Archive": {
		"arn:aws:events:" + here + "archive/chat-service-prod":          "events:CreateArchive DescribeArchive UpdateArchive DeleteArchive",
		"arn:aws:events:" + here + "event-bus/chat-service-prod-events": "events:CreateArchive",
	},
	"AWS::Events::EventBus": {
		"arn:aws:events:" + here + "event-bus/chat-service-prod-events": "events:CreateEventBus DescribeEventBus UpdateEventBus DeleteEventBus ListTagsForResource TagResource UntagResource",
	},
	"AWS::Events::EventBusPolicy": {
		"arn:aws:events:" + here + "event-bus/chat-service-prod-events": "events:DescribeEventBus",
		"*": "events:PutPermission RemovePermission", // AWS checks no resource
	},
	"AWS::IAM::ManagedPolicy": {
		"arn:aws:iam::123456789012:policy/chat-service-prod-LongSettings-1A": "iam:CreatePolicy GetPolicy DeletePolicy TagPolicy UntagPolicy " +
			"CreatePolicyVersion GetPolicyVersion DeletePolicyVersion ListPolicyVersions ListEntitiesForPolicy",
	},
	"AWS::IAM::User": {
		"arn:aws:iam::123456789012:user/chat-service-prod-StreamQueueUser-1A": "iam:CreateUser GetUser DeleteUser PutUserPermissionsBoundary PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies " +
			"ListAttachedUserPolicies ListGroupsForUser TagUser UntagUser ListUserTags",
	},
	"AWS::IAM::Role": {
		"arn:aws:iam::123456789012:role/chat-service-prod-CodeDeployRole-1A": "iam:CreateRole GetRole UpdateRole UpdateAssumeRolePolicy DeleteRole PutRolePolicy GetRolePolicy DeleteRolePolicy " +
			"AttachRolePolicy DetachRolePolicy PutRolePermissionsBoundary UpdateRoleDescription ListRolePolicies ListAttachedRolePolicies TagRole UntagRole PassRole",
	},
	"AWS::Lambda::EventSourceMapping": {
		"*": "lambda:CreateEventSourceMapping UpdateEventSourceMapping DeleteEventSourceMapping GetEventSourceMapping",
	},
	"AWS::Lambda::Permission": {
		"arn:aws:lambda:" + here + "function:chat-service-prod-WebhookFunction-1A": "lambda:AddPermission RemovePermission GetPolicy",
	},
	"AWS::Logs::LogGroup": {
		"arn:aws:logs:" + here + "log-group:/aws/lambda/chat-service-prod/token":          "logs:CreateLogGroup AssociateKmsKey DisassociateKmsKey DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy ListTagsForResource TagResource UntagResource",
		"arn:aws:logs:" + here + "log-group:/aws/vendedlogs/chat-service-prod/client-api": "logs:CreateLogGroup",
		"*": "logs:DescribeLogGroups",
	},
	"AWS::Logs::MetricFilter": {
		"arn:aws:logs:" + here + "log-group:/aws/lambda/chat-service-prod/token": "logs:PutMetricFilter DescribeMetricFilters DeleteMetricFilter",
	},
	"AWS::Logs::QueryDefinition": {
		"*": "logs:PutQueryDefinition DescribeQueryDefinitions DeleteQueryDefinition",
	},
	"AWS::S3::Bucket": {
		"arn:aws:s3:::chat-service-prod-largeeventsbucket-1a": "s3:CreateBucket DeleteBucket PutBucketPublicAccessBlock GetBucketPublicAccessBlock PutBucketOwnershipControls GetBucketOwnershipControls " +
			"PutEncryptionConfiguration GetEncryptionConfiguration PutLifecycleConfiguration GetLifecycleConfiguration PutBucketTagging GetBucketTagging",
	},
	"AWS::S3::BucketPolicy": {
		"arn:aws:s3:::chat-service-prod-largeeventsbucket-1a": "s3:PutBucketPolicy GetBucketPolicy DeleteBucketPolicy",
	},
	"AWS::SNS::Topic": {
		"arn:aws:sns:" + here + "chat-service-prod-AlarmTopic-1A": "sns:CreateTopic GetDataProtectionPolicy DeleteTopic GetTopicAttributes SetTopicAttributes Subscribe Unsubscribe ListSubscriptionsByTopic ListTagsForResource TagResource UntagResource",
	},
	"AWS::SNS::TopicPolicy": {
		"arn:aws:sns:" + here + "chat-service-prod-AlarmTopic-1A": "sns:SetTopicAttributes GetTopicAttributes",
	},
	"AWS::SQS::Queue": {
		"arn:aws:sqs:" + here + "chat-service-prod-FallbackQueue-1A": "sqs:CreateQueue DeleteQueue GetQueueAttributes SetQueueAttributes GetQueueUrl ListQueueTags TagQueue UntagQueue",
	},
	"AWS::SQS::QueuePolicy": {
		"arn:aws:sqs:" + here + "chat-service-prod-StreamEventsQueue-1A": "sqs:SetQueueAttributes GetQueueAttributes",
	},
	"AWS::Serverless::Api": {
		"arn:aws:apigateway:eu-central-1::/restapis":                    "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/restapis/a1b2":               "apigateway:GET PUT PATCH DELETE UpdateRestApiPolicy",
		"arn:aws:apigateway:eu-central-1::/restapis/a1b2/deployments/*": "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/tags/arn":                    "apigateway:GET PUT",
	},
	"AWS::Serverless::HttpApi": {
		"arn:aws:apigateway:eu-central-1::/apis":      "apigateway:POST",
		"arn:aws:apigateway:eu-central-1::/apis/a1b2": "apigateway:GET PUT PATCH DELETE",
		"*": "logs:CreateLogDelivery GetLogDelivery UpdateLogDelivery DeleteLogDelivery ListLogDeliveries PutResourcePolicy DescribeResourcePolicies",
	},
	"AWS::Serverless::Function": {
		"arn:aws:lambda:" + here + "function:chat-service-prod-TokenFunction-1A": "lambda:CreateFunction UpdateFunctionCode UpdateFunctionConfiguration DeleteFunction GetFunction GetFunctionConfiguration " +
			"PutFunctionConcurrency DeleteFunctionConcurrency PublishVersion ListVersionsByFunction CreateAlias UpdateAlias GetAlias DeleteAlias AddPermission RemovePermission GetPolicy ListTags TagResource UntagResource",
		"arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a/chat-service-prod/code":                                                         "s3:GetObject PutObject",
		"arn:aws:codedeploy:" + here + "application:chat-service-prod-ServerlessDeploymentApplication-1A":                                               "codedeploy:CreateApplication ListTagsForResource TagResource UntagResource GetApplication DeleteApplication RegisterApplicationRevision GetApplicationRevision",
		"arn:aws:codedeploy:" + here + "deploymentgroup:chat-service-prod-ServerlessDeploymentApplication-1A/chat-service-prod-TokenDeploymentGroup-1A": "codedeploy:CreateDeploymentGroup GetDeploymentGroup UpdateDeploymentGroup DeleteDeploymentGroup CreateDeployment GetDeployment",
		"*": "codedeploy:StopDeployment", // AWS checks no resource
		"arn:aws:codedeploy:" + here + "deploymentconfig:CodeDeployDefault.LambdaCanary10Percent5Minutes": "codedeploy:GetDeploymentConfig",
	},
}

// deploying lists the calls of the SAM CLI and of ops, and of what deploys functions.
var deploying = map[string]string{
	"arn:aws:cloudformation:" + here + "stack/chat-service-prod/1": "cloudformation:CreateChangeSet DescribeChangeSet ExecuteChangeSet DeleteChangeSet DescribeStacks DescribeStackEvents " +
		"DescribeStackResource ListStackResources GetTemplate GetTemplateSummary",
	"arn:aws:cloudformation:eu-central-1:aws:transform/Serverless-2016-10-31":                    "cloudformation:CreateChangeSet",
	"arn:aws:cloudformation:" + here + "stack/aws-sam-cli-managed-default/1":                     "cloudformation:DescribeStacks",
	"arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a":                             "s3:ListBucket GetBucketLocation",
	"arn:aws:s3:::chat-service-artifacts-123456789012-eu-central-1":                              "s3:ListBucket GetBucketLocation",
	"arn:aws:s3:::chat-service-artifacts-123456789012-eu-central-1/chat-service-prod/1.template": "s3:GetObject PutObject",
}

const boundary = "arn:aws:iam::123456789012:policy/chat-service-prod-boundary"

// usual is the context of a deployment's calls.
var usual = map[string]string{
	"aws:ResourceTag/chat-service": "chat-service-prod", "aws:RequestTag/chat-service": "chat-service-prod", "lambda:Principal": "apigateway.amazonaws.com",
	"iam:PermissionsBoundary": boundary, "iam:PassedToService": "lambda.amazonaws.com",
	"iam:PolicyARN":      "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda",
	"lambda:FunctionArn": "arn:aws:lambda:" + here + "function:chat-service-prod-WebhookFunction-1A:live",
}

// never lists what the deployer must not be allowed to do: use what it deploys, touch
// anything outside its stack, also of an environment whose name begins like its own,
// or change its own permissions. After the actions come changes of the usual context.
var never = []struct{ resource, actions, context string }{
	{"arn:aws:lambda:" + here + "function:chat-service-prod-TokenFunction-1A", "lambda:InvokeFunction InvokeFunctionUrl CreateFunctionUrlConfig UpdateFunctionUrlConfig UpdateFunctionEventInvokeConfig AddLayerVersionPermission", ""},
	{"arn:aws:lambda:" + here + "function:chat-service-prod-TokenFunction-1A", "lambda:AddPermission", "lambda:Principal=*"},
	{"arn:aws:lambda:" + here + "function:chat-service-prod-TokenFunction-1A", "lambda:AddPermission", "lambda:Principal=210987654321"},
	{"arn:aws:lambda:" + here + "function:billing", "lambda:UpdateFunctionCode GetFunction", ""},
	{"arn:aws:lambda:" + here + "function:chat-service-dev-TokenFunction-1A", "lambda:UpdateFunctionCode", ""},
	{"arn:aws:lambda:" + here + "function:chat-service-prod-eu-TokenFunction-1A", "lambda:UpdateFunctionCode DeleteFunction GetFunction", ""},
	{"*", "lambda:CreateEventSourceMapping", "lambda:FunctionArn=arn:aws:lambda:" + here + "function:mine"},
	{"arn:aws:ssm:" + here + "parameter/chat-service-prod/stream/api-secret", "ssm:GetParameter GetParameters GetParametersByPath PutParameter", ""},
	{"arn:aws:kms:" + here + "key/1234", "kms:Decrypt CreateGrant PutKeyPolicy", ""},
	{"arn:aws:sqs:" + here + "chat-service-prod-FallbackQueue-1A", "sqs:ReceiveMessage SendMessage PurgeQueue StartMessageMoveTask", ""},
	{"arn:aws:sqs:" + here + "chat-service-prod-eu-FallbackQueue-1A", "sqs:SetQueueAttributes DeleteQueue", ""},
	{"arn:aws:sns:" + here + "chat-service-prod-AlarmTopic-1A", "sns:Publish", ""},
	{"arn:aws:sns:" + here + "chat-service-prod-eu-AlarmTopic-1A", "sns:Subscribe SetTopicAttributes", ""},
	{"arn:aws:events:" + here + "event-bus/chat-service-prod-events", "events:PutEvents PutRule PutTargets", ""},
	{"arn:aws:events:" + here + "event-bus/chat-service-prod-eu-events", "events:DeleteEventBus UpdateEventBus", ""},
	{"arn:aws:events:" + here + "archive/chat-service-dev", "events:DeleteArchive UpdateArchive DescribeArchive", ""},
	{"arn:aws:events:" + here + "archive/chat-service-prod", "events:StartReplay", ""},
	{"arn:aws:s3:::chat-service-prod-largeeventsbucket-1a/2026/11/22/a", "s3:GetObject PutObject DeleteObject", ""},
	{"arn:aws:s3:::chat-service-prod-eu-largeeventsbucket-1a", "s3:PutBucketPolicy DeleteBucket", ""},
	{"arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a/chat-service-dev/code", "s3:PutObject GetObject", ""},
	{"arn:aws:s3:::chat-service-artifacts-123456789012-eu-central-1/chat-service-prod-eu/code", "s3:PutObject", ""},
	{"arn:aws:execute-api:" + here + "a1b2/v1/POST/proxy/users", "execute-api:Invoke", ""},
	{"arn:aws:apigateway:eu-central-1::/restapis/prod1", "apigateway:GET PATCH DELETE PUT UpdateRestApiPolicy", "aws:ResourceTag/chat-service=chat-service-dev"},
	{"arn:aws:apigateway:eu-central-1::/apis/billing", "apigateway:PATCH DELETE", "aws:ResourceTag/chat-service="},
	{"arn:aws:apigateway:eu-central-1::/apis/billing/routes/a", "apigateway:PATCH DELETE", "aws:ResourceTag/chat-service="},
	{"arn:aws:apigateway:eu-central-1::/tags/arn", "apigateway:PUT DELETE", "aws:ResourceTag/chat-service=chat-service-dev"},
	{"arn:aws:apigateway:eu-central-1::/vpclinks/a", "apigateway:DELETE", ""},
	{"arn:aws:logs:" + here + "log-group:/aws/lambda/chat-service-prod/token", "logs:GetLogEvents FilterLogEvents StartQuery PutSubscriptionFilter", ""},
	{"arn:aws:logs:" + here + "log-group:/aws/lambda/chat-service-prod-eu/token", "logs:DeleteLogGroup", ""},
	{"arn:aws:cloudwatch:" + here + "alarm:chat-service-prod-eu-ServerErrorsAlarm-1A", "cloudwatch:DeleteAlarms", ""},
	{"arn:aws:iam::123456789012:policy/chat-service-prod-ci-Policy-1A", "iam:CreatePolicyVersion SetDefaultPolicyVersion DeletePolicy", ""}, // its own
	{boundary, "iam:CreatePolicyVersion SetDefaultPolicyVersion DeletePolicy", ""},
	{"arn:aws:iam::123456789012:role/chat-service-prod-deployer", "iam:PutRolePolicy AttachRolePolicy UpdateAssumeRolePolicy PassRole DeleteRolePermissionsBoundary", ""},
	{"arn:aws:iam::123456789012:role/chat-service-prod-TokenRole-1A", "iam:CreateRole PutRolePolicy PutRolePermissionsBoundary", "iam:PermissionsBoundary="},
	{"arn:aws:iam::123456789012:role/chat-service-prod-TokenRole-1A", "iam:CreateRole PutRolePolicy", "iam:PermissionsBoundary=arn:aws:iam::aws:policy/AdministratorAccess"},
	{"arn:aws:iam::123456789012:role/chat-service-prod-TokenRole-1A", "iam:DeleteRolePermissionsBoundary", ""},
	{"arn:aws:iam::123456789012:role/chat-service-prod-ApiKeyRole-1A", "iam:AttachRolePolicy", "iam:PolicyARN=arn:aws:iam::aws:policy/AdministratorAccess"},
	{"arn:aws:iam::123456789012:role/chat-service-prod-ApiKeyRole-1A", "iam:PassRole", "iam:PassedToService=ec2.amazonaws.com"},
	{"arn:aws:iam::123456789012:role/chat-service-prod-eu-TokenRole-1A", "iam:PutRolePolicy UpdateAssumeRolePolicy PassRole", ""},
	{"arn:aws:iam::123456789012:role/admin", "iam:PassRole PutRolePolicy", ""},
	{"arn:aws:iam::123456789012:user/chat-service-prod-StreamQueueUser-1A", "iam:CreateAccessKey AddUserToGroup CreateLoginProfile AttachUserPolicy DeleteUserPermissionsBoundary", ""},
	{"arn:aws:iam::123456789012:user/chat-service-prod-StreamQueueUser-1A", "iam:PutUserPolicy CreateUser", "iam:PermissionsBoundary="},
	{"arn:aws:iam::123456789012:user/alice", "iam:CreateAccessKey", ""},
	{"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com", "iam:UpdateOpenIDConnectProviderThumbprint DeleteOpenIDConnectProvider", ""},
	{"arn:aws:sts::123456789012:role/admin", "sts:AssumeRole", ""},
	{"arn:aws:route53:::hostedzone/Z999", "route53:ChangeResourceRecordSets", ""},
	{"arn:aws:cloudformation:" + here + "stack/billing/1", "cloudformation:ExecuteChangeSet DescribeStacks", ""},
	{"arn:aws:cloudformation:" + here + "stack/chat-service-prod-eu/1", "cloudformation:ExecuteChangeSet CreateChangeSet", ""},
	{"arn:aws:cloudformation:" + here + "stack/chat-service-prod/1", "cloudformation:DeleteStack SetStackPolicy", ""},
	{"arn:aws:cloudformation:" + here + "stack/aws-sam-cli-managed-default/1", "cloudformation:ExecuteChangeSet", ""},
	{"arn:aws:codedeploy:" + here + "application:billing", "codedeploy:CreateDeployment", ""},
}

type statement struct {
	Sid, Effect      string
	Action, Resource []string
	Condition        map[string]map[string][]string // values by operator and key
}

// policies returns the statements of the managed policies in ci.yaml for an
// environment by their logical ids, and the size of the largest in characters.
func policies(t *testing.T, environment, region string) (all map[string][]statement, size int) {
	t.Helper()
	stack, err := parse(t, "ci.yaml").Stack(cfn.Options{Region: region, Account: "123456789012", StackName: "chat-service-" + environment + "-ci",
		Parameters: map[string]string{"Subject": "repo:acme/chat:environment:prod", "EnvironmentName": environment}})
	if err != nil {
		t.Fatal(err)
	}
	resources, err := stack.Resources("AWS::IAM::ManagedPolicy")
	if err != nil {
		t.Fatal(err)
	}
	all = map[string][]statement{}
	for id, policy := range resources {
		document, err := stack.Eval(policy["Properties"].(map[string]any)["PolicyDocument"])
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(document)
		size = max(size, len(text))
		for _, v := range document.(map[string]any)["Statement"].([]any) {
			all[id] = append(all[id], parsed(t, v))
		}
	}
	return all, size
}

// parsed returns a statement of a policy. One with members that no test evaluates, such as
// NotAction, fails the test.
func parsed(t *testing.T, v any) statement {
	t.Helper()
	s := v.(map[string]any)
	for member := range s {
		if !slices.Contains([]string{"Sid", "Effect", "Action", "Resource", "Condition"}, member) {
			t.Fatalf("no test evaluates %s", member)
		}
	}
	sid, _ := s["Sid"].(string)
	conditions := map[string]map[string][]string{}
	operators, _ := s["Condition"].(map[string]any)
	for operator, keys := range operators {
		conditions[operator] = map[string][]string{}
		for key, values := range keys.(map[string]any) {
			conditions[operator][key] = list(values)
		}
	}
	return statement{sid, s["Effect"].(string), list(s["Action"]), list(s["Resource"]), conditions}
}

// deployer returns the statements of the pipeline's role.
func deployer(t *testing.T) []statement {
	all, _ := policies(t, "prod", "eu-central-1")
	return slices.Concat(all["Policy"], all["RolesPolicy"], all["DataPolicy"])
}

// allows evaluates a policy as IAM does. A key that is missing in the context is "".
func allows(t *testing.T, policy []statement, action, resource string, context map[string]string) bool {
	allowed := false
	for _, s := range policy {
		if slices.ContainsFunc(s.Action, func(pattern string) bool { return matches(strings.ToLower(action))(strings.ToLower(pattern)) }) && slices.ContainsFunc(s.Resource, matches(resource)) && s.holds(t, context) {
			if s.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

// holds reports whether the statement's conditions are met.
func (s statement) holds(t *testing.T, context map[string]string) bool {
	for operator, keys := range s.Condition {
		for key, values := range keys {
			met := false
			switch strings.TrimSuffix(operator, "IfExists") {
			case "StringEquals":
				met = slices.Contains(values, context[key])
			case "StringLike", "ArnLike", "ArnEquals":
				met = slices.ContainsFunc(values, matches(context[key]))
			default:
				t.Fatalf("%s: no test evaluates %s", s.Sid, operator)
			}
			if !met && !(strings.HasSuffix(operator, "IfExists") && context[key] == "") {
				return false
			}
		}
	}
	return true
}

// patterns are those that [matches] has compiled.
var patterns sync.Map

// matches returns a function that reports whether a pattern, in which * is any text and ?
// any character, matches a name.
func matches(name string) func(pattern string) bool {
	return func(pattern string) bool {
		compiled, ok := patterns.Load(pattern)
		if !ok {
			compiled = regexp.MustCompile("^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$")
			patterns.Store(pattern, compiled)
		}
		return compiled.(*regexp.Regexp).MatchString(name)
	}
}

// calls turns "lambda:A B" into lambda:A, lambda:B.
func calls(text string) (actions []string) {
	service, names, _ := strings.Cut(text, ":")
	for name := range strings.FieldsSeq(names) {
		actions = append(actions, service+":"+name)
	}
	return actions
}

func TestDeployerMayDeployEveryTypeOfResourceAndNeedsWhatItMay(t *testing.T) {
	t.Parallel()
	policy := deployer(t)
	types := map[string]bool{}
	for _, v := range parse(t, "../template.yaml").Section("Resources") {
		types[v.(map[string]any)["Type"].(string)] = true
	}
	for kind := range types {
		if needs[kind] == nil {
			t.Errorf("%s: want its calls listed here, and allowed in ci.yaml", kind)
		}
	}
	needed := map[string]bool{}
	check := func(kind string, on map[string]string) {
		for resource, actions := range on {
			for _, action := range calls(actions) {
				if !allows(t, policy, action, resource, usual) {
					t.Errorf("%s: want %s allowed on %s", kind, action, resource)
				}
				for _, s := range policy {
					for _, pattern := range s.Action {
						needed[s.Sid+" "+pattern] = needed[s.Sid+" "+pattern] || matches(action)(pattern) && slices.ContainsFunc(s.Resource, matches(resource))
					}
				}
			}
		}
	}
	check("deploying", deploying)
	for kind, on := range needs {
		if !types[kind] {
			t.Errorf("%s: want no permissions for it, because template.yaml has none", kind)
		}
		check(kind, on)
	}
	// CloudFormation's names have the resource's id after the stack's name.
	for id, v := range parse(t, "../template.yaml").Section("Resources") {
		for kind, call := range map[string][2]string{
			"AWS::CloudWatch::Alarm": {"cloudwatch:PutMetricAlarm", "arn:aws:cloudwatch:" + here + "alarm:"}, "AWS::Serverless::Function": {"lambda:CreateFunction", "arn:aws:lambda:" + here + "function:"},
			"AWS::IAM::Role": {"iam:CreateRole", "arn:aws:iam::123456789012:role/"}, "AWS::IAM::User": {"iam:CreateUser", "arn:aws:iam::123456789012:user/"}, "AWS::IAM::ManagedPolicy": {"iam:CreatePolicy", "arn:aws:iam::123456789012:policy/"},
			"AWS::SQS::Queue": {"sqs:CreateQueue", "arn:aws:sqs:" + here}, "AWS::SNS::Topic": {"sns:CreateTopic", "arn:aws:sns:" + here},
		} {
			if name := call[1] + "chat-service-prod-" + id + "-1A"; v.(map[string]any)["Type"] == kind && !allows(t, policy, call[0], name, usual) {
				t.Errorf("want %s allowed on %s", call[0], name)
			}
		}
	}
	for permission, used := range needed {
		if !used {
			t.Errorf("want no permission that nothing needs, got %s", permission)
		}
	}
}

func TestDeployerMayDoNothingElse(t *testing.T) {
	t.Parallel()
	policy := deployer(t)
	for _, test := range never {
		context := maps.Clone(usual)
		if key, value, ok := strings.Cut(test.context, "="); ok {
			context[key] = value
		}
		for _, action := range calls(test.actions) {
			if allows(t, policy, action, test.resource, context) {
				t.Errorf("want %s on %s denied (%s)", action, test.resource, test.context)
			}
		}
	}
	services := strings.Fields("apigateway cloudformation cloudwatch codedeploy events iam lambda logs s3 sns sqs")
	for _, s := range policy {
		for _, action := range s.Action {
			if service, _, _ := strings.Cut(action, ":"); !slices.Contains(services, service) {
				t.Errorf("%s: want no permissions in %s", s.Sid, service)
			}
		}
	}
}

// The boundary must allow what the template gives the roles, and nothing that reaches
// another environment or a person.
func TestBoundaryAllowsWhatTheStacksRolesNeed(t *testing.T) {
	t.Parallel()
	all, _ := policies(t, "prod", "eu-central-1")
	via := map[string]string{"kms:ViaService": "ssm.eu-central-1.amazonaws.com"}
	stack, err := parse(t, "../template.yaml").Stack(cfn.Options{Region: "eu-central-1", Account: "123456789012", StackName: "chat-service-prod",
		Parameters: map[string]string{"ParameterPrefix": "/chat-service-prod", "StreamQueue": "true", "Tracing": "true",
			"KmsKeyArn":       "arn:aws:kms:eu-central-1:123456789012:key/1234abcd",
			"HookFunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:moderation"}})
	if err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("LogGroup.Arn", "arn:aws:logs:"+here+"log-group:x", "ChatEventBus.Arn", "arn:aws:events:"+here+"event-bus/chat-service-prod-events",
		"FallbackQueue.Arn", "arn:aws:sqs:"+here+"chat-service-prod-FallbackQueue-1A", "LargeEventsBucket.Arn", "arn:aws:s3:::chat-service-prod-largeeventsbucket-1a",
		"StreamEventsQueue.Arn", "arn:aws:sqs:"+here+"chat-service-prod-StreamEventsQueue-1A", "StreamDeadLetterQueue.Arn", "arn:aws:sqs:"+here+"chat-service-prod-StreamDeadLetterQueue-1A")
	checked := 0
	for _, kind := range []string{"AWS::IAM::Role", "AWS::IAM::User"} {
		resources, err := stack.Resources(kind)
		if err != nil {
			t.Fatal(err)
		}
		for id, resource := range resources {
			properties, err := stack.Eval(resource["Properties"])
			if err != nil {
				t.Fatal(err)
			}
			inline, _ := properties.(map[string]any)["Policies"].([]any)
			for _, policy := range inline {
				for _, v := range policy.(map[string]any)["PolicyDocument"].(map[string]any)["Statement"].([]any) {
					for _, action := range list(v.(map[string]any)["Action"]) {
						for _, resource := range list(v.(map[string]any)["Resource"]) {
							checked++
							if at := names.Replace(resource); !allows(t, all["Boundary"], action, at, via) {
								t.Errorf("%s: want the boundary to allow %s on %s", id, action, at)
							}
						}
					}
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("want the roles' permissions checked, got %d", checked)
	}
	for resource, actions := range map[string]string{
		"arn:aws:ssm:" + here + "parameter/chat-service-dev/stream/api-secret":     "ssm:GetParameters",
		"arn:aws:ssm:" + here + "parameter/chat-service-prod-eu/stream/api-secret": "ssm:GetParameters GetParametersByPath",
		"arn:aws:kms:" + here + "key/1234":                                         "kms:CreateGrant",
		"arn:aws:lambda:" + here + "function:chat-service-dev-TokenFunction-1A":    "lambda:InvokeFunction UpdateFunctionCode",
		"arn:aws:s3:::chat-service-prod-largeeventsbucket-1a/a":                    "s3:GetObject",
		"arn:aws:iam::123456789012:role/admin":                                     "iam:PassRole sts:AssumeRole",
		"arn:aws:sqs:" + here + "billing":                                          "sqs:SendMessage",
	} {
		for _, action := range calls(actions) {
			if allows(t, all["Boundary"], action, resource, via) {
				t.Errorf("want the boundary to deny %s on %s", action, resource)
			}
		}
	}
}

// A prefix may be the beginning of another's, with a slash after it or without.
func TestNoStackReadsTheValuesOfAnother(t *testing.T) {
	t.Parallel()
	all, _ := policies(t, "prod", "eu-central-1")
	context := map[string]string{"kms:ViaService": "ssm.eu-central-1.amazonaws.com"}
	for _, test := range []struct{ stack, prefix, own string }{
		{"chat-service", "", "/chat-service"}, {"chat-service-prod", "", "/chat-service-prod"}, {"shop", "/chat-service", "/chat-service"},
	} {
		stack, err := parse(t, "../template.yaml").Stack(cfn.Options{Region: "eu-central-1", Account: "123456789012", StackName: test.stack,
			Parameters: map[string]string{"ParameterPrefix": test.prefix, "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"}})
		if err != nil {
			t.Fatal(err)
		}
		roles, err := stack.Resources("AWS::IAM::Role")
		if err != nil {
			t.Fatal(err)
		}
		granted := map[string][]statement{}
		for id, role := range roles {
			properties, err := stack.Eval(role["Properties"])
			if err != nil {
				t.Fatal(err)
			}
			inline, _ := properties.(map[string]any)["Policies"].([]any)
			for _, policy := range inline {
				for _, v := range policy.(map[string]any)["PolicyDocument"].(map[string]any)["Statement"].([]any) {
					granted[id] = append(granted[id], parsed(t, v))
				}
			}
		}
		if test.stack == "chat-service-prod" {
			granted["Boundary"] = all["Boundary"]
		}
		read := 0
		for _, prefix := range []string{test.own, test.own + "/dev", test.own + "/stream", test.own + "2", test.own + "-eu", "/other"} {
			for _, name := range []string{"/stream/api-secret", "/stream/api-key", "/client-config/web"} {
				arn := "arn:aws:ssm:" + here + "parameter" + prefix + name
				context["kms:EncryptionContext:PARAMETER_ARN"] = arn
				for id, policy := range granted {
					for resource, actions := range map[string]string{arn: "ssm:GetParameter GetParameters GetParametersByPath GetParameterHistory", "arn:aws:kms:" + here + "key/1234abcd": "kms:Decrypt"} {
						for _, action := range calls(actions) {
							switch got := allows(t, policy, action, resource, context); {
							case got && prefix == test.own:
								read++
							case got && !(id == "Boundary" && action == "kms:Decrypt"): // limited by the roles' own policies
								t.Errorf("stack %s, %s: want %s on %s denied", test.stack, id, action, arn)
							}
						}
					}
				}
			}
		}
		if read < 10 {
			t.Errorf("stack %s: want its own values read, got %d permissions", test.stack, read)
		}
	}
}

// list returns a text, or the texts of a list.
func list(v any) (all []string) {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	items, _ := v.([]any)
	for _, item := range items {
		all = append(all, item.(string))
	}
	return all
}

func TestRoleTrustsOnePipeline(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ issuer, audience, subject string }{
		{"https://token.actions.githubusercontent.com", "sts.amazonaws.com", "repo:acme/chat:environment:prod"},
		{"https://gitlab.com", "https://gitlab.com", "project_path:acme/chat:ref_type:branch:ref:main"},
		{"https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc", "ari:cloud:bitbucket::workspace/1", "{c7d3}:{e1f2}:*"},
		{"https://oidc.circleci.com/org/0a1b", "0a1b", "org/0a1b/project/2c3d/user/*"},
		{"https://agent.buildkite.com", "sts.amazonaws.com", "organization:acme:pipeline:chat:ref:refs/heads/main:*"},
	} {
		stack, err := parse(t, "ci.yaml").Stack(cfn.Options{Region: "eu-central-1", Account: "123456789012", StackName: "ci",
			Parameters: map[string]string{"Issuer": test.issuer, "Audience": test.audience, "Subject": test.subject, "ProviderArn": "arn:aws:iam::123456789012:oidc-provider/x"}})
		if err != nil {
			t.Error(err)
			continue
		}
		roles, err := stack.Resources("AWS::IAM::Role")
		if err != nil {
			t.Fatal(err)
		}
		text, err := stack.Eval(roles["Role"]["Properties"].(map[string]any)["AssumeRolePolicyDocument"])
		if err != nil {
			t.Fatal(err)
		}
		host := strings.TrimPrefix(test.issuer, "https://")
		want := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/x"},`+
			`"Condition":{"StringEquals":{"%s:aud":"%s"},"StringLike":{"%[1]s:sub":"%[3]s"}}}]}`, host, test.audience, test.subject)
		var got bytes.Buffer
		if err := json.Compact(&got, []byte(text.(string))); err != nil || got.String() != want {
			t.Errorf("want\n%s\ngot\n%s %v", want, got.String(), err)
		}
	}
	for _, subject := range []string{"", "*", "repo:*", `repo:acme/chat"`, "repo:acme/chat:environment:prod,x"} {
		if _, err := parse(t, "ci.yaml").Stack(cfn.Options{Parameters: map[string]string{"Subject": subject}}); err == nil {
			t.Errorf("want the subject %q refused", subject)
		}
	}
}

func TestDeployersPoliciesFitIAMsLimitWithTheLongestNames(t *testing.T) {
	t.Parallel()
	if _, size := policies(t, "an-environment-of-20", "ap-southeast-1"); size > 6144 {
		t.Errorf("want policies of at most 6144 characters, IAM's limit, got %d", size)
	}
}
