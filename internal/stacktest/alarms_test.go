package stacktest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dimensions writes an alarm's dimensions as "Name=Value" with spaces between.
func dimensions(v any) string {
	var words []string
	items, _ := v.(list)
	for _, d := range items {
		words = append(words, fmt.Sprint(dig(d, "Name"), "=", dig(d, "Value")))
	}
	return strings.Join(words, " ")
}

// watches lists what an alarm looks at, a line for each metric, and the
// expression that makes one number of several.
func watches(t *testing.T, id string, alarm object) (lines []string) {
	t.Helper()
	add := func(metric, statistic any) {
		lines = append(lines, strings.TrimSpace(fmt.Sprint(statistic, " ", dig(metric, "Namespace"), " ", dig(metric, "MetricName"), " ", dimensions(dig(metric, "Dimensions")))))
	}
	queries, math := alarm["Metrics"].(list)
	if !math {
		statistic := alarm["Statistic"]
		if statistic == nil {
			statistic = alarm["ExtendedStatistic"]
		}
		add(alarm, statistic)
	}
	returned := 0
	for _, query := range queries {
		if metric := dig(query, "MetricStat", "Metric"); metric != nil {
			add(metric, dig(query, "MetricStat", "Stat"))
		} else {
			lines = append(lines, fmt.Sprint(dig(query, "Expression")))
		}
		if dig(query, "ReturnData") != "false" {
			returned++
		}
	}
	if math && returned != 1 {
		t.Errorf("%s: want one value to look at, got %d", id, returned)
	}
	return lines
}

func TestAlarmsWatchEveryFunctionAndBothApis(t *testing.T) {
	t.Parallel()
	s := translate(t)
	each := func(metric string, ids ...string) (lines []string) {
		for _, id := range ids {
			lines = append(lines, metric+" FunctionName="+id+"Function")
		}
		return lines
	}
	all := sortedKeys(functions)
	const share = "IF(failed >= 5, 100 * failed / requests, 0)"
	want := map[string][]string{
		"FunctionErrorsAlarm":    append(each("Sum AWS/Lambda Errors", all...), "SUM(METRICS())"),
		"FunctionThrottlesAlarm": append(each("Sum AWS/Lambda Throttles", all...), "SUM(METRICS())"),
		"FunctionDurationAlarm":  append(each("p99 AWS/Lambda Duration", "Token", "ApiKey", "Config", "Webhook"), "MAX(METRICS())"),
		"ProxyDurationAlarm":     each("p99 AWS/Lambda Duration", "Proxy"),
		"SettingsStaleAlarm":     append(each("Sum ChatServiceBackend SettingsServedStale", all...), "SUM(METRICS())"),
		"UpstreamLatencyAlarm":   each("p99 ChatServiceBackend UpstreamLatency", "Proxy"),
		"ServerErrorsAlarm":      {"Sum ChatServiceBackend/chat ServerErrors"},
		"ClientApi5xxAlarm":      {"Sum AWS/ApiGateway 5xx ApiId=ClientApi", "Sum AWS/ApiGateway Count ApiId=ClientApi", share},
		"ServiceApi5xxAlarm":     {"Sum AWS/ApiGateway 5XXError ApiName=chat-service", "Sum AWS/ApiGateway Count ApiName=chat-service", share},
		"RequestsAlarm":          {"Sum AWS/ApiGateway Count ApiId=ClientApi", "Sum AWS/ApiGateway Count ApiName=chat-service", "SUM(METRICS())"},
		"CostAlarm": {"Sum AWS/ApiGateway Count ApiId=ClientApi", "Sum AWS/ApiGateway Count ApiName=chat-service",
			"Sum AWS/Lambda Duration FunctionName=ProxyFunction", "Sum ChatServiceBackend EventsPublished FunctionName=WebhookFunction",
			"0.00000176 * FILL(client, 0) + 0.0000041 * FILL(service, 0) + 0.0000000133334 * 256 / 1024 * FILL(proxy, 0) + 0.0000014 * FILL(events, 0)"},
		"FallbackQueueAlarm": {"Maximum AWS/SQS ApproximateNumberOfMessagesVisible QueueName=FallbackQueue.QueueName"},
	}
	for _, id := range all {
		// The version that a deployment sends the first requests to, and no other.
		function := id + "Function"
		var version string
		for published := range s.resources("AWS::Lambda::Version") {
			if strings.HasPrefix(published, function+"Version") {
				version = published
			}
		}
		want[id+"NewVersionErrorsAlarm"] = each("Sum AWS/Lambda Errors", id)
		want[id+"NewVersionErrorsAlarm"][0] += " Resource=" + function + ":live ExecutedVersion=" + version + ".Version"
	}
	alarms := s.resources("AWS::CloudWatch::Alarm")
	same(t, "alarms", sortedKeys(alarms), sortedKeys(want))
	for id, alarm := range alarms {
		same(t, id, watches(t, id, alarm), want[id])
		lambda, _, byFunction := strings.Cut(id, "Errors")
		if byFunction && lambda != "Server" && (alarm["Threshold"] != "1" || alarm["EvaluationPeriods"] != "1") {
			t.Errorf("%s: want an alarm at the first, got %v in %v periods", id, alarm["Threshold"], alarm["EvaluationPeriods"])
		}
	}
	for id, f := range s.resources("AWS::Lambda::Function") {
		timeout := 1000 * number(t, f["Timeout"]) // ms
		alarm := "FunctionDurationAlarm"
		if id == "ProxyFunction" {
			alarm = "ProxyDurationAlarm"
		}
		if threshold := number(t, alarms[alarm]["Threshold"]); threshold < timeout*3/4 || threshold >= timeout {
			t.Errorf("%s: want an alarm near the timeout of %d ms, got %d ms", id, timeout, threshold)
		}
	}
	if name := s.resource("AWS::ApiGateway::RestApi", "ServiceApi")["Name"]; name != "chat-service" {
		t.Errorf("want the Service API by the name that its alarm looks at, got %v", name)
	}
}

func TestAlarmsStaySilentWithoutRequestsAndTellWhomTheyAreTold(t *testing.T) {
	t.Parallel()
	topic := "arn:aws:sns:eu-central-1:123456789012:alarms"
	for _, c := range []struct {
		overrides []string
		actions   string
	}{
		{nil, "[]"},
		{[]string{"AlarmEmail=ops@example.com"}, "[AlarmTopic]"},
		{[]string{"AlarmTopicArn=" + topic}, "[" + topic + "]"},
	} {
		s := translate(t, c.overrides...)
		for id, alarm := range s.resources("AWS::CloudWatch::Alarm") {
			if alarm["TreatMissingData"] != "notBreaching" {
				t.Errorf("%s: want no data to be no alarm, got %v", id, alarm["TreatMissingData"])
			}
			if got := fmt.Sprint(texts(alarm["AlarmActions"])); got != c.actions {
				t.Errorf("%q: %s: want actions %s, got %s", c.overrides, id, c.actions, got)
			}
			if alarm["AlarmDescription"] == nil {
				t.Errorf("%s: want a description", id)
			}
		}
		topics := s.resources("AWS::SNS::Topic")
		if want := c.actions == "[AlarmTopic]"; (len(topics) == 1) != want {
			t.Errorf("%q: want a topic: %t, got %q", c.overrides, want, sortedKeys(topics))
		}
		for _, properties := range topics {
			if got := fmt.Sprint(properties["Subscription"]); got != "[map[Endpoint:ops@example.com Protocol:email]]" {
				t.Errorf("want the address subscribed, got %s", got)
			}
		}
	}
}

func TestNothingThatCostsWhileIdleIsMadeWithoutMonitoring(t *testing.T) {
	t.Parallel()
	s := translate(t, "Monitoring=false", "AlarmEmail=ops@example.com")
	for _, kind := range []string{"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::MetricFilter", "AWS::SNS::Topic"} {
		if made := s.resources(kind); len(made) != 0 {
			t.Errorf("%s: want none, got %q", kind, sortedKeys(made))
		}
	}
}

func TestServerErrorsAreCountedFromEachFunctionsRequestLine(t *testing.T) {
	t.Parallel()
	var groups []string
	for id, filter := range translate(t).resources("AWS::Logs::MetricFilter") {
		groups = append(groups, filter["LogGroupName"].(string))
		if filter["FilterPattern"] != "{ ($.status >= 500) && ($.limit NOT EXISTS) }" {
			t.Errorf("%s: want the requests answered with 5xx, got %v", id, filter["FilterPattern"])
		}
		if got := fmt.Sprint(filter["MetricTransformations"]); got != "[map[MetricName:ServerErrors MetricNamespace:ChatServiceBackend/chat MetricValue:1 Unit:Count]]" {
			t.Errorf("%s: want the metric of the alarm, got %s", id, got)
		}
	}
	var want []string
	for id := range functions {
		want = append(want, id+"LogGroup")
	}
	same(t, "log groups", groups, want)
}

func TestDashboardAndAlarmsShowMetricsThatTheCodeSends(t *testing.T) {
	t.Parallel()
	s := translate(t)
	var dashboard struct {
		Widgets []struct {
			Type       string
			Properties struct {
				Title, Region string
				Metrics       [][]any
				Alarms        []string
			}
		}
	}
	body := s.resource("AWS::CloudWatch::Dashboard", "Dashboard")["DashboardBody"].(string)
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatalf("want a dashboard in JSON, got %v", err)
	}
	shown := map[string]bool{}
	for _, widget := range dashboard.Widgets {
		if widget.Properties.Title == "" {
			t.Errorf("want a title on each widget, got %+v", widget)
		}
		for _, alarm := range widget.Properties.Alarms {
			shown[strings.TrimSuffix(alarm, ".Arn")] = true
		}
		if widget.Type == "metric" && widget.Properties.Region != region {
			t.Errorf("%s: want region %s, got %s", widget.Properties.Title, region, widget.Properties.Region)
		}
		// "." repeats the word above it, "..." all but the last.
		var namespace, metric string
		for _, line := range widget.Properties.Metrics {
			if line[0] == "..." {
				continue
			}
			if line[0] != "." {
				namespace = line[0].(string)
			}
			if line[1] != "." {
				metric = line[1].(string)
			}
			if namespace == "ChatServiceBackend" {
				shown[metric] = true
			}
		}
	}
	for id := range s.resources("AWS::CloudWatch::Alarm") {
		// The bus is optional, and a dashboard cannot leave out what is not there.
		if !shown[id] && !strings.HasSuffix(id, "NewVersionErrorsAlarm") && id != "FallbackQueueAlarm" {
			t.Errorf("want %s on the dashboard", id)
		}
		delete(shown, id)
	}
	for _, alarm := range s.resources("AWS::CloudWatch::Alarm") {
		queries, _ := alarm["Metrics"].(list)
		for _, query := range append(queries, object{"MetricStat": object{"Metric": alarm}}) {
			if metric := dig(query, "MetricStat", "Metric"); dig(metric, "Namespace") == "ChatServiceBackend" {
				shown[dig(metric, "MetricName").(string)] = true
			}
		}
	}
	sent := sentMetrics(t)
	for metric := range shown {
		if !slices.Contains(sent, metric) {
			t.Errorf("want metrics that the code sends, %q, got %s", sent, metric)
		}
	}
	if len(shown) < 9 {
		t.Errorf("want the functions' metrics on the dashboard, got %q", sortedKeys(shown))
	}
}

// sentMetrics lists the metrics that functions/ and shared/ send.
func sentMetrics(t *testing.T) []string {
	t.Helper()
	call := regexp.MustCompile(`lambdahttp\.(?:Count|CountBy|Milliseconds)\([\w.()]+, (?:fmt\.Sprintf\()?"([\w%]+)"`)
	found := map[string]bool{}
	for _, dir := range []string{"functions", "shared"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range call.FindAllStringSubmatch(string(text), -1) {
				// A class of statuses: Upstream%dxx.
				for class := range strings.SplitSeq("2345", "") {
					found[strings.Replace(match[1], "%d", class, 1)] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sortedKeys(found)
}
