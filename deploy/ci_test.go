package deploy_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/cfn"
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
		"arn:aws:cloudwatch:" + here + "alarm:chat-service-prod-Errors-1A": "cloudwatch:PutMetricAlarm DescribeAlarms DeleteAlarms ListTagsForResource TagResource UntagResource",
	},
	"AWS::CloudWatch::Dashboard": {
		"arn:aws:cloudwatch::123456789012:dashboard/chat-service-prod-eu-central-1": "cloudwatch:PutDashboard GetDashboard DeleteDashboards",
	},
	"AWS::Events::Archive": {
		"arn:aws:events:" + here + "archive/chat-service-prod-ChatEventArchive-1A": "events:CreateArchive DescribeArchive UpdateArchive DeleteArchive",
		"arn:aws:events:" + here + "event-bus/chat-service-prod-events":            "events:CreateArchive",
	},
	"AWS::Events::EventBus": {
		"arn:aws:events:" + here + "event-bus/chat-service-prod-events": "events:CreateEventBus DescribeEventBus UpdateEventBus DeleteEventBus ListTagsForResource TagResource UntagResource",
	},
	"AWS::Events::EventBusPolicy": {
		"arn:aws:events:" + here + "event-bus/chat-service-prod-events": "events:PutPermission RemovePermission DescribeEventBus",
	},
	"AWS::IAM::ManagedPolicy": {
		"arn:aws:iam::123456789012:policy/chat-service-prod-LongSettings-1A": "iam:CreatePolicy GetPolicy DeletePolicy TagPolicy UntagPolicy " +
			"CreatePolicyVersion GetPolicyVersion DeletePolicyVersion ListPolicyVersions ListEntitiesForPolicy",
	},
	"AWS::IAM::User": {
		"arn:aws:iam::123456789012:user/chat-service-prod-StreamQueueUser-1A": "iam:CreateUser GetUser DeleteUser PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies " +
			"ListAttachedUserPolicies ListGroupsForUser TagUser UntagUser ListUserTags",
	},
	"AWS::IAM::Role": {
		"arn:aws:iam::123456789012:role/chat-service-prod-TokenRole-1A": "iam:CreateRole GetRole UpdateRole UpdateAssumeRolePolicy DeleteRole PutRolePolicy GetRolePolicy DeleteRolePolicy " +
			"AttachRolePolicy DetachRolePolicy ListRolePolicies ListAttachedRolePolicies TagRole UntagRole PassRole",
	},
	"AWS::Lambda::EventSourceMapping": {
		"*": "lambda:CreateEventSourceMapping UpdateEventSourceMapping DeleteEventSourceMapping GetEventSourceMapping",
	},
	"AWS::Lambda::Permission": {
		"arn:aws:lambda:" + here + "function:chat-service-prod-WebhookFunction-1A": "lambda:AddPermission RemovePermission GetPolicy",
	},
	"AWS::Logs::LogGroup": {
		"arn:aws:logs:" + here + "log-group:/aws/lambda/chat-service-prod/token":          "logs:CreateLogGroup DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy ListTagsForResource TagResource UntagResource",
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
		"arn:aws:sns:" + here + "chat-service-prod-AlarmTopic-1A": "sns:CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes Subscribe Unsubscribe ListSubscriptionsByTopic ListTagsForResource TagResource UntagResource",
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
		"arn:aws:apigateway:eu-central-1::/tags/arn":                    "apigateway:PUT",
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
		"arn:aws:codedeploy:" + here + "application:chat-service-prod-ServerlessDeploymentApplication-1A":                                               "codedeploy:CreateApplication GetApplication DeleteApplication RegisterApplicationRevision GetApplicationRevision",
		"arn:aws:codedeploy:" + here + "deploymentgroup:chat-service-prod-ServerlessDeploymentApplication-1A/chat-service-prod-TokenDeploymentGroup-1A": "codedeploy:CreateDeploymentGroup GetDeploymentGroup UpdateDeploymentGroup DeleteDeploymentGroup CreateDeployment GetDeployment StopDeployment",
		"arn:aws:codedeploy:" + here + "deploymentconfig:CodeDeployDefault.LambdaCanary10Percent5Minutes":                                               "codedeploy:GetDeploymentConfig",
	},
}

// never lists what the deployer must not be allowed to do: use what it deploys,
// touch anything outside its stack, or change its own permissions.
var never = map[string]string{
	"arn:aws:lambda:" + here + "function:chat-service-prod-TokenFunction-1A": "lambda:InvokeFunction",
	"arn:aws:lambda:" + here + "function:billing":                            "lambda:UpdateFunctionCode GetFunction",
	"arn:aws:lambda:" + here + "function:chat-service-dev-TokenFunction-1A":  "lambda:UpdateFunctionCode",
	"arn:aws:ssm:" + here + "parameter/chat-service-prod/stream/api-secret":  "ssm:GetParameter GetParameters PutParameter",
	"arn:aws:kms:" + here + "key/1234":                                       "kms:Decrypt",
	"arn:aws:sqs:" + here + "chat-service-prod-FallbackQueue-1A":             "sqs:ReceiveMessage SendMessage PurgeQueue",
	"arn:aws:events:" + here + "event-bus/chat-service-prod-events":          "events:PutEvents PutRule PutTargets",
	"arn:aws:s3:::chat-service-prod-largeeventsbucket-1a/2026/11/22/a":       "s3:GetObject PutObject",
	"arn:aws:execute-api:" + here + "a1b2/v1/POST/proxy/users":               "execute-api:Invoke",
	"arn:aws:logs:" + here + "log-group:/aws/lambda/chat-service-prod/token": "logs:GetLogEvents FilterLogEvents",
	"arn:aws:iam::123456789012:policy/chat-service-prod-ci-Policy-1A":        "iam:CreatePolicyVersion SetDefaultPolicyVersion DeletePolicy", // its own
	"arn:aws:iam::123456789012:role/chat-service-prod-deployer":              "iam:PutRolePolicy AttachRolePolicy UpdateAssumeRolePolicy PassRole",
	"arn:aws:route53:::hostedzone/Z999":                                      "route53:ChangeResourceRecordSets",
	"arn:aws:iam::123456789012:role/admin":                                   "iam:PassRole PutRolePolicy",
	"arn:aws:iam::123456789012:user/chat-service-prod-StreamQueueUser-1A":    "iam:CreateAccessKey AddUserToGroup CreateLoginProfile",
	"arn:aws:iam::123456789012:user/alice":                                   "iam:CreateAccessKey",
	"arn:aws:cloudformation:" + here + "stack/billing/1":                     "cloudformation:ExecuteChangeSet DescribeStacks",
	"arn:aws:cloudformation:" + here + "stack/chat-service-prod/1":           "cloudformation:DeleteStack",
	"arn:aws:cloudformation:" + here + "stack/aws-sam-cli-managed-default/1": "cloudformation:ExecuteChangeSet",
}

type statement struct {
	Sid, Effect      string
	Action, Resource []string
}

// deployer returns the statements of the policies in ci.yaml for an environment, and
// the size of the largest policy in characters.
func deployer(t *testing.T, environment, region string) (statements []statement, size int) {
	t.Helper()
	stack, err := parse(t, "ci.yaml").Stack(cfn.Options{Region: region, Account: "123456789012", StackName: "chat-service-" + environment + "-ci",
		Parameters: map[string]string{"Repository": "acme/chat", "EnvironmentName": environment}})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := stack.Resources("AWS::IAM::ManagedPolicy")
	if err != nil {
		t.Fatal(err)
	}
	words := func(v any) (words []string) {
		switch v := v.(type) {
		case string:
			return []string{v}
		case []any:
			for _, word := range v {
				words = append(words, word.(string))
			}
		}
		return words
	}
	for _, policy := range policies {
		document, err := stack.Eval(policy["Properties"].(map[string]any)["PolicyDocument"])
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(document)
		size = max(size, len(text))
		for _, v := range document.(map[string]any)["Statement"].([]any) {
			s := v.(map[string]any)
			statements = append(statements, statement{s["Sid"].(string), s["Effect"].(string), words(s["Action"]), words(s["Resource"])})
		}
	}
	return statements, size
}

// allows evaluates a policy as IAM does, except that all conditions are met.
func allows(policy []statement, action, resource string) bool {
	allowed := false
	for _, s := range policy {
		if slices.ContainsFunc(s.Action, matches(action)) && slices.ContainsFunc(s.Resource, matches(resource)) {
			if s.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

// matches returns a function that reports whether a pattern, in which * is any
// text, matches a name.
func matches(name string) func(pattern string) bool {
	return func(pattern string) bool {
		return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(name)
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

func TestDeployerMayDeployEveryTypeOfResource(t *testing.T) {
	t.Parallel()
	policy, _ := deployer(t, "prod", "eu-central-1")
	types := map[string]bool{}
	for _, v := range parse(t, "../template.yaml").Section("Resources") {
		types[v.(map[string]any)["Type"].(string)] = true
	}
	for kind := range types {
		if needs[kind] == nil {
			t.Errorf("%s: want its calls listed here, and allowed in ci.yaml", kind)
		}
	}
	for kind, on := range needs {
		if !types[kind] {
			t.Errorf("%s: want no permissions for it, because template.yaml has none", kind)
		}
		for resource, actions := range on {
			for _, action := range calls(actions) {
				if !allows(policy, action, resource) {
					t.Errorf("%s: want %s allowed on %s", kind, action, resource)
				}
			}
		}
	}
}

func TestDeployerMayDoNothingElse(t *testing.T) {
	t.Parallel()
	policy, _ := deployer(t, "prod", "eu-central-1")
	for resource, actions := range never {
		for _, action := range calls(actions) {
			if allows(policy, action, resource) {
				t.Errorf("want %s on %s denied", action, resource)
			}
		}
	}
	services := strings.Fields("apigateway cloudformation cloudwatch codedeploy events iam lambda logs route53 s3 sns sqs")
	for _, s := range policy {
		for _, action := range s.Action {
			if service, _, _ := strings.Cut(action, ":"); !slices.Contains(services, service) {
				t.Errorf("%s: want no permissions in %s", s.Sid, service)
			}
		}
	}
}

func TestDeployersPoliciesFitIAMsLimitWithTheLongestNames(t *testing.T) {
	t.Parallel()
	if _, size := deployer(t, "an-environment-of-20", "ap-southeast-1"); size > 6144 {
		t.Errorf("want policies of at most 6144 characters, IAM's limit, got %d", size)
	}
}
