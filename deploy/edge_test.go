package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"chat-service-backend/ops/cfn"
)

func edge(t *testing.T, region string, parameters ...string) (*cfn.Stack, error) {
	t.Helper()
	o := cfn.Options{Region: region, Account: "123456789012", StackName: "edge", Parameters: map[string]string{"OriginDomainName": "origin.example.com"}}
	for _, parameter := range parameters {
		name, value, _ := strings.Cut(parameter, "=")
		o.Parameters[name] = value
	}
	return parse(t, "edge.yaml").Stack(o)
}

const acm = "arn:aws:acm:us-east-1:123456789012:certificate/"

var (
	origin       = []string{"ClientApiId=a1b2", "OriginCertificateArn=arn:aws:acm:eu-central-1:123456789012:certificate/a", "TruststoreUri=s3://trust/ca.pem"}
	distribution = []string{"DomainName=chat.example.com", "CertificateArn=" + acm + "a", "ClientCertificateArn=" + acm + "b"}
)

func TestEdgeLimitsEachAddressAndIsTheOnlyWayToItsOrigin(t *testing.T) {
	t.Parallel()
	property := func(s *cfn.Stack, kind, id string) map[string]any {
		t.Helper()
		resources, err := s.Resources(kind)
		if err != nil || resources[id] == nil {
			t.Fatalf("want %s, got %v, %v", id, resources, err)
		}
		got, err := s.Eval(resources[id]["Properties"])
		if err != nil {
			t.Fatal(err)
		}
		return got.(map[string]any)
	}
	s, err := edge(t, "us-east-1", append(distribution, "RequestsPerFiveMinutes=77", "AccessLogBucket=logs.s3.amazonaws.com")...)
	if err != nil {
		t.Fatal(err)
	}
	config := property(s, "AWS::CloudFront::Distribution", "Distribution")["DistributionConfig"].(map[string]any)
	first := config["Origins"].([]any)[0].(map[string]any)["CustomOriginConfig"].(map[string]any)
	if fmt.Sprint(first["OriginMtlsConfig"]) != "map[ClientCertificateArn:"+acm+"b]" || first["OriginProtocolPolicy"] != "https-only" {
		t.Errorf("want CloudFront to show its certificate over TLS, got %v", first)
	}
	if config["WebACLId"] != "Limits.Arn" || config["DefaultCacheBehavior"].(map[string]any)["CachePolicyId"] != "4135ea2d-6df8-44a3-9df3-4b5a84be39ad" {
		t.Errorf("want WAF in front and nothing cached, got %v", config)
	}
	if got := fmt.Sprint(config["Logging"]); got != "map[Bucket:logs.s3.amazonaws.com IncludeCookies:false]" {
		t.Errorf("want access logs, without cookies, got %s", got)
	}
	rule := property(s, "AWS::WAFv2::WebACL", "Limits")["Rules"].([]any)[0].(map[string]any)
	if got := fmt.Sprint(rule["Action"], rule["Statement"]); got != "map[Block:map[]] map[RateBasedStatement:map[AggregateKeyType:IP EvaluationWindowSec:300 Limit:77]]" {
		t.Errorf("want a limit for each address, got %s", got)
	}
	if s, err = edge(t, "eu-central-1", origin...); err != nil {
		t.Fatal(err)
	}
	if got := property(s, "AWS::ApiGatewayV2::DomainName", "Origin")["MutualTlsAuthentication"]; fmt.Sprint(got) != "map[TruststoreUri:s3://trust/ca.pem]" {
		t.Errorf("want an origin that asks for a certificate, got %v", got)
	}
	if got, _ := s.Resources("AWS::CloudFront::Distribution"); len(got) != 0 {
		t.Error("want the distribution in us-east-1 only")
	}
}

func TestEdgeRefusesWhatWouldLeaveAWayAround(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		region     string
		parameters []string
		rule       string
	}{
		{"eu-central-1", origin[:2], "OriginNeedsCertificates"},
		{"us-east-1", distribution[:2], "DistributionNeedsCertificates"},
		{"eu-central-1", distribution, "DistributionNeedsCertificates"},
	} {
		if _, err := edge(t, test.region, test.parameters...); err == nil || !strings.Contains(err.Error(), test.rule) {
			t.Errorf("%q: want the rule %s broken, got %v", test.parameters, test.rule, err)
		}
	}
}
