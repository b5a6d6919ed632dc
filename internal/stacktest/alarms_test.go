package stacktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/api"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/settings"
)

// watched returns what an alarm watches: a line for each metric, and one for the
// expression that combines several.
func watched(t *testing.T, id string, alarm object) (lines []string) {
	t.Helper()
	add := func(metric, statistic any) {
		words := []string{fmt.Sprint(statistic, " ", dig(metric, "Namespace"), " ", dig(metric, "MetricName"))}
		dimensions, _ := dig(metric, "Dimensions").(list)
		for _, d := range dimensions {
			words = append(words, fmt.Sprint(dig(d, "Name"), "=", dig(d, "Value")))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	queries, _ := alarm["Metrics"].(list)
	if queries == nil {
		statistic := alarm["Statistic"]
		if statistic == nil {
			statistic = alarm["ExtendedStatistic"]
		}
		add(alarm, statistic)
		return lines
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
	if returned != 1 {
		t.Errorf("%s: want one value to compare with the threshold, got %d", id, returned)
	}
	return lines
}

func TestAlarmsWatchEveryFunctionAndBothAPIs(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	each := func(metric string, ids ...string) (lines []string) {
		for _, id := range ids {
			lines = append(lines, metric+" FunctionName="+id+"Function")
		}
		return lines
	}
	all := sortedKeys(functions)
	const (
		client, service = "Sum AWS/ApiGateway Count ApiId=ClientApi", "Sum AWS/ApiGateway Count ApiName=chat-service"
		share           = "IF(failed >= 5, 100 * failed / requests, 0)"
		visible         = "Maximum AWS/SQS ApproximateNumberOfMessagesVisible QueueName="
	)
	want := map[string][]string{
		"FunctionErrorsAlarm":    append(each("Sum AWS/Lambda Errors", all...), "SUM(METRICS())"),
		"FunctionThrottlesAlarm": append(each("Sum AWS/Lambda Throttles", all...), "SUM(METRICS())"),
		"FunctionDurationAlarm":  append(each("p99 AWS/Lambda Duration", "Token", "ApiKey", "Config", "Webhook"), "MAX(METRICS())"),
		"ProxyDurationAlarm":     each("p99 AWS/Lambda Duration", "Proxy"),
		"SettingsStaleAlarm":     append(each("Sum ChatServiceBackend SettingsServedStale", all...), "SUM(METRICS())"),
		"UpstreamLatencyAlarm":   each("p99 ChatServiceBackend UpstreamLatency", "Proxy"),
		"HookAlarm":              each("Sum ChatServiceBackend HooksFailed", "Webhook"),
		"ServerErrorsAlarm":      {"Sum ChatServiceBackend/chat ServerErrors"},
		"ClientApi5xxAlarm":      {"Sum AWS/ApiGateway 5xx ApiId=ClientApi", client, share},
		"ServiceApi5xxAlarm":     {"Sum AWS/ApiGateway 5XXError ApiName=chat-service", service, share},
		"RequestsAlarm":          {client, service, "SUM(METRICS())"},
		"CostAlarm": {client, service, "Sum AWS/Lambda Duration FunctionName=ProxyFunction", "Sum ChatServiceBackend EventsPublished FunctionName=WebhookFunction",
			"0.00000176 * FILL(client, 0) + 0.0000041 * FILL(service, 0) + 0.0000000133334 / 4 * FILL(proxy, 0) + 0.0000014 * FILL(events, 0)"},
		"FallbackQueueAlarm":    {visible + "FallbackQueue.QueueName"},
		"StreamDeadLetterAlarm": {visible + "StreamDeadLetterQueue.QueueName"},
	}
	for _, id := range all {
		// The version that a deployment sends the first requests to, and no other.
		for version := range s.all("AWS::Lambda::Version") {
			if function := id + "Function"; strings.HasPrefix(version, function+"Version") {
				want[id+"NewVersionErrorsAlarm"] = []string{"Sum AWS/Lambda Errors FunctionName=" + function + " Resource=" + function + ":live ExecutedVersion=" + version + ".Version"}
			}
		}
	}
	alarms := s.all("AWS::CloudWatch::Alarm")
	same(t, "alarms", sortedKeys(alarms), sortedKeys(want))
	for id, alarm := range alarms {
		same(t, id, watched(t, id, alarm), want[id])
		if strings.Contains(strings.Join(want[id], " "), "AWS/Lambda Errors") && (alarm["Threshold"] != "1" || alarm["EvaluationPeriods"] != "1") {
			t.Errorf("%s: want an alarm on the first error, got %v in %v periods", id, alarm["Threshold"], alarm["EvaluationPeriods"])
		}
	}
	for id := range functions {
		alarm, timeout := "FunctionDurationAlarm", 1000*number(t, s.get(id+"Function", "Timeout")) // ms
		if id == "Proxy" {
			alarm = "ProxyDurationAlarm"
		}
		if threshold := number(t, alarms[alarm]["Threshold"]); threshold < timeout*3/4 || threshold >= timeout {
			t.Errorf("%s: want an alarm near the timeout of %d ms, got %d ms", id, timeout, threshold)
		}
	}
	if name := s.get("ServiceApi", "Name"); name != "chat-service" {
		t.Errorf("want the Service API to have the name that its alarm watches, got %v", name)
	}
}

func TestAlarmsIgnoreMissingDataAndNotifyTheTarget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		overrides       []string
		actions, topics string
	}{
		{nil, "<nil>", "map[]"},
		{full, "[AlarmTopic]", "map[AlarmTopic:map[DisplayName:chat KmsMasterKeyId:" + kmsARN + " Subscription:[map[Endpoint:ops@example.com Protocol:email]]]]"},
		{private, "[" + topicARN + "]", "map[]"},
	} {
		s := translate(t, test.overrides...)
		for id, alarm := range s.all("AWS::CloudWatch::Alarm") {
			if alarm["TreatMissingData"] != "notBreaching" {
				t.Errorf("%s: want missing data to raise no alarm, got %v", id, alarm["TreatMissingData"])
			}
			if got := fmt.Sprint(alarm["AlarmActions"]); got != test.actions {
				t.Errorf("%q: %s: want actions %s, got %s", test.overrides, id, test.actions, got)
			}
			if alarm["AlarmDescription"] == nil {
				t.Errorf("%s: want a description", id)
			}
		}
		for _, statement := range texts(s.get("AlarmTopicPolicy", "PolicyDocument", "Statement")) {
			if statement != "map[Action:sns:Publish Condition:map[StringEquals:map[aws:SourceAccount:123456789012]] Effect:Allow Principal:map[Service:cloudwatch.amazonaws.com] Resource:AlarmTopic]" &&
				statement != "map[Action:sns:Publish Condition:map[Bool:map[aws:SecureTransport:false]] Effect:Deny Principal:* Resource:AlarmTopic]" {
				t.Errorf("%q: want a topic for alarms and over TLS only, got %s", test.overrides, statement)
			}
		}
		if got := fmt.Sprint(s.all("AWS::SNS::Topic")); got != test.topics {
			t.Errorf("%q: want topics %s, got %s", test.overrides, test.topics, got)
		}
	}
}

// outcomes are the paths of a function that [failing] builds, what its handler
// returns there, and whether the request counts towards a rollback.
var outcomes = map[string]struct {
	err      error
	rollback bool
}{
	"/well":             {nil, false},
	"/not-signed-in":    {identity.ErrBadToken, false},
	"/ssm-throttles":    {fmt.Errorf("%w: %w", settings.ErrUnavailable, settings.ErrThrottled), false},
	"/issuer-throttles": {fmt.Errorf("%w: %w", identity.ErrUnavailable, identity.ErrThrottled), false},
	"/ssm-refuses":      {settings.ErrUnavailable, true}, // a role or a prefix is wrong
	"/defect":           {errors.New("defect"), true},
}

// failing is the build of a function that answers as outcomes says.
func failing(context.Context, func(string) string) (http.Handler, error) {
	return api.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error { return outcomes[r.URL.Path].err }), nil
}

// ServerErrorsAlarm rolls back a canary. Metric filters count for it the log lines
// of failures.
func TestOnlyOurOwnFaultsRollBack(t *testing.T) {
	t.Parallel()
	f := awstest.StartFunction(t, nil)
	for path := range outcomes {
		if _, err := io.Copy(io.Discard, f.Invoke(awstest.ClientEvent(t, httptest.NewRequest(http.MethodGet, path, nil), path)).Body); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	lines := map[string]object{} // by route
	for line := range strings.Lines(f.Output()) {
		var fields object
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if route, ok := fields["route"].(string); ok {
			lines[route] = fields
		}
	}
	var filters, want []string
	for id, filter := range translate(t).all("AWS::Logs::MetricFilter") {
		filters = append(filters, fmt.Sprint(filter["LogGroupName"], " ", filter["MetricTransformations"]))
		for path, outcome := range outcomes {
			if lines[path] == nil || counts(t, filter["FilterPattern"].(string), lines[path]) != outcome.rollback {
				t.Errorf("%s: %s: want a line that counts: %t, got %v", id, path, outcome.rollback, lines[path])
			}
		}
	}
	for id := range functions {
		want = append(want, id+"LogGroup [map[MetricName:ServerErrors MetricNamespace:ChatServiceBackend/chat MetricValue:1 Unit:Count]]")
	}
	same(t, "metric filters", filters, want)
}

// counts reports whether a metric filter counts a log line. It knows the two
// operators that the template uses.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
func counts(t *testing.T, pattern string, fields object) bool {
	t.Helper()
	for condition := range strings.SplitSeq(strings.Trim(pattern, "{ }"), " && ") {
		word := regexp.MustCompile(`^\(\$\.(\w+) (>= (\d+)|NOT EXISTS)\)$`).FindStringSubmatch(condition)
		if word == nil {
			t.Fatalf("want ($.field >= number) or ($.field NOT EXISTS), got %s", condition)
		}
		value, exists := fields[word[1]]
		least, _ := strconv.ParseFloat(word[3], 64)
		if n, _ := value.(float64); word[3] == "" && exists || word[3] != "" && n < least {
			return false
		}
	}
	return true
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
	if err := json.Unmarshal([]byte(s.get("Dashboard", "DashboardBody").(string)), &dashboard); err != nil {
		t.Fatalf("want a dashboard in JSON, got %v", err)
	}
	var shown, want []string
	metrics := map[string]bool{} // in the namespace ChatServiceBackend
	for _, widget := range dashboard.Widgets {
		if p := widget.Properties; p.Title == "" || widget.Type == "metric" && p.Region != region {
			t.Errorf("want a title on each widget and region %s on each graph, got %+v", region, p)
		}
		shown = append(shown, widget.Properties.Alarms...)
		// "." repeats the word above it, "..." all words but the last.
		var namespace, metric any
		for _, line := range widget.Properties.Metrics {
			if line[0] == "..." {
				continue
			}
			if line[0] != "." {
				namespace = line[0]
			}
			if line[1] != "." {
				metric = line[1]
			}
			if namespace == "ChatServiceBackend" {
				metrics[metric.(string)] = true
			}
		}
	}
	for id, alarm := range s.all("AWS::CloudWatch::Alarm") {
		// The bus is optional, and a dashboard cannot leave out an alarm that does not exist.
		if !strings.HasSuffix(id, "NewVersionErrorsAlarm") && id != "FallbackQueueAlarm" {
			want = append(want, id+".Arn")
		}
		for _, line := range watched(t, id, alarm) {
			if words := strings.Fields(line); len(words) > 2 && words[1] == "ChatServiceBackend" {
				metrics[words[2]] = true
			}
		}
	}
	same(t, "alarms on the dashboard", shown, want)
	sent := sentMetrics(t)
	for metric := range metrics {
		if !slices.Contains(sent, metric) {
			t.Errorf("want metrics that the code sends, %q, got %s", sent, metric)
		}
	}
	if len(metrics) < 9 {
		t.Errorf("want the functions' metrics on the dashboard, got %q", sortedKeys(metrics))
	}
}

// inCode returns the groups of all matches of a pattern in functions/ and shared/,
// tests left out.
func inCode(t *testing.T, pattern string) (groups []string) {
	t.Helper()
	compiled := regexp.MustCompile(pattern)
	for _, dir := range []string{"functions", "shared"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range compiled.FindAllStringSubmatch(string(text), -1) {
				groups = append(groups, strings.Join(match[1:], ""))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// sentMetrics returns the names of the metrics that the functions send.
func sentMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range inCode(t, `lambdahttp\.(?:Count|CountBy|Milliseconds)\([\w.()]+, (?:fmt\.Sprintf\()?"([\w%]+)"`) {
		if !strings.Contains(name, "%d") {
			names = append(names, name)
			continue
		}
		for _, class := range []string{"2", "4", "5"} { // of Stream's statuses; it never redirects
			names = append(names, strings.Replace(name, "%d", class, 1))
		}
	}
	return names
}

// named returns the names, in backquotes or not, in what the pattern finds in a
// page of docs.
func named(t *testing.T, page, row string) (names []string) {
	t.Helper()
	text, err := os.ReadFile("docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(row).FindAllStringSubmatch(string(text), -1) {
		names = append(names, strings.Fields(strings.ReplaceAll(match[1], "`", ""))...)
	}
	return names
}

func TestEveryAlarmAndMetricIsInTheRunbook(t *testing.T) {
	t.Parallel()
	var alarms []string
	metrics := append(sentMetrics(t), "ServerErrors") // of the metric filters
	for id, v := range source(t)["Resources"].(object) {
		if dig(v, "Type") == "AWS::CloudWatch::Alarm" {
			alarms = append(alarms, id)
		}
	}
	same(t, "alarms in docs/runbook.md", named(t, "runbook.md", `(?m)^### (\w+Alarm)$`), alarms)
	same(t, "metrics in docs/monitoring.md", named(t, "monitoring.md", "(?m)^\\| ((?:`\\w+` ?)+)\\| (?:Count|Milliseconds) \\|"), metrics)
}
