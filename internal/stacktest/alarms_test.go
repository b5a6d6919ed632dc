package stacktest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"maps"
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
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
)

// A watch is one metric of an alarm: "Sum 5xx ApiId=ClientApi". id names it in the
// alarm's expression.
type watch struct{ id, namespace, metric, line string }

// watches returns the metrics of an alarm, and its expression, "" if it has one metric.
func watches(alarm object) (all []watch, expression string) {
	add := func(id string, metric, statistic any) {
		words := []string{fmt.Sprint(statistic), fmt.Sprint(dig(metric, "MetricName"))}
		dimensions, _ := dig(metric, "Dimensions").(list)
		for _, d := range dimensions {
			words = append(words, fmt.Sprint(dig(d, "Name"), "=", dig(d, "Value")))
		}
		all = append(all, watch{id, fmt.Sprint(dig(metric, "Namespace")), fmt.Sprint(dig(metric, "MetricName")), strings.Join(words, " ")})
	}
	queries, _ := alarm["Metrics"].(list)
	if queries == nil {
		add("", alarm, cmp.Or(alarm["Statistic"], alarm["ExtendedStatistic"]))
	}
	for _, query := range queries {
		if metric := dig(query, "MetricStat", "Metric"); metric != nil {
			add(dig(query, "Id").(string), metric, dig(query, "MetricStat", "Stat"))
		} else {
			expression = dig(query, "Expression").(string)
		}
	}
	return all, expression
}

// rings reports whether an alarm is on while its metrics have these values, by line.
// A metric that is not there has no data.
func rings(t *testing.T, alarm object, metrics map[string]float64) bool {
	t.Helper()
	all, expression := watches(alarm)
	data := map[string]float64{}
	for _, w := range all {
		if v, ok := metrics[w.line]; ok {
			data[w.id] = v
		}
	}
	v, ok := data[""]
	if expression != "" {
		tree, err := parser.ParseExpr(strings.ReplaceAll(expression, " OR ", " || "))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		v, ok = evaluate(t, tree, data)
	}
	if !ok {
		return alarm["TreatMissingData"] == "breaching"
	}
	threshold, err := strconv.ParseFloat(fmt.Sprint(alarm["Threshold"]), 64)
	if err != nil {
		t.Fatal(err)
	}
	switch alarm["ComparisonOperator"] {
	case "GreaterThanThreshold":
		return v > threshold
	case "GreaterThanOrEqualToThreshold":
		return v >= threshold
	case "LessThanThreshold":
		return v < threshold
	}
	t.Fatalf("want an operator that this test knows, got %v", alarm["ComparisonOperator"])
	return false
}

// evaluate computes an expression of CloudWatch's metric math, as far as the template
// uses it. The result is missing if a value in it is, but for FILL, SUM and MAX.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
func evaluate(t *testing.T, tree ast.Expr, data map[string]float64) (v float64, ok bool) {
	t.Helper()
	one := map[bool]float64{true: 1}
	switch e := tree.(type) {
	case *ast.BasicLit:
		v, err := strconv.ParseFloat(e.Value, 64)
		return v, err == nil
	case *ast.Ident:
		v, ok = data[e.Name]
		return v, ok
	case *ast.ParenExpr:
		return evaluate(t, e.X, data)
	case *ast.BinaryExpr:
		a, okA := evaluate(t, e.X, data)
		b, okB := evaluate(t, e.Y, data)
		return map[token.Token]float64{
			token.ADD: a + b, token.SUB: a - b, token.MUL: a * b, token.QUO: a / b, token.LOR: one[a != 0 || b != 0],
			token.GTR: one[a > b], token.GEQ: one[a >= b], token.EQL: one[a == b],
		}[e.Op], okA && okB
	case *ast.CallExpr:
		switch name := e.Fun.(*ast.Ident).Name; name {
		case "IF":
			if v, ok = evaluate(t, e.Args[0], data); !ok {
				return 0, false
			}
			return evaluate(t, e.Args[map[bool]int{true: 1, false: 2}[v != 0]], data)
		case "FILL":
			if v, ok = evaluate(t, e.Args[0], data); ok {
				return v, true
			}
			return evaluate(t, e.Args[1], data)
		case "SUM", "MAX": // of METRICS()
			for _, x := range data {
				v = map[string]float64{"SUM": v + x, "MAX": max(v, x)}[name]
			}
			return v, len(data) > 0
		}
	}
	t.Fatalf("want an expression that this test knows, got %T", tree)
	return 0, false
}

func TestAlarmsGoOffForWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	alarms := s.all("AWS::CloudWatch::Alarm")
	// Five minutes of a busy stack that is well.
	well := map[string]float64{
		"Sum Count ApiId=ClientApi": 3000, "Sum Count ApiId=WebhookApi": 600, "Sum Count ApiName=chat-service": 900, "Sum EventsPublished FunctionName=WebhookFunction": 600,
		"Sum TokensMinted FunctionName=TokenFunction": 100, "Sum TokensMinted FunctionName=ConfigFunction": 900, "p99 Duration FunctionName=ProxyFunction": 900,
		"Sum 5xx ApiId=WebhookApi": 2, "Sum 5xx ApiId=ClientApi": 4, "p99 UpstreamLatency FunctionName=ProxyFunction": 300, "Sum ClientsThrottled": 10, "Sum StreamRefusals": 2,
		"Sum CallersRefusedByUs": 9, "Sum HooksFailed FunctionName=WebhookFunction": 4, "Sum ServerErrors": 4,
	}
	const night = -1 // no data at all, except what the scenario has
	type scenario struct {
		name    string
		metrics map[string]float64 // over those of well; night removes all of them
		want    string
	}
	seen := map[string]bool{}
	for _, test := range []scenario{
		{"well", nil, ""},
		{"no events at all", map[string]float64{"": night}, "NoEventsAlarm"},
		{"a wrong secret", map[string]float64{"Sum WebhooksRefused": 600, "Sum EventsPublished FunctionName=WebhookFunction": 0}, "NoEventsAlarm WebhooksRefusedAlarm"},
		{"a wrong secret at night", map[string]float64{"": night, "Sum Count ApiId=WebhookApi": 3, "Sum WebhooksRefused": 3}, "NoEventsAlarm WebhooksRefusedAlarm"},
		{"one webhook of many refused", map[string]float64{"Sum WebhooksRefused": 1}, "WebhooksRefusedAlarm"},
		{"a webhook throttled", map[string]float64{"Sum WebhooksThrottled": 1, "Sum WebhooksRefused": 1}, "WebhooksRefusedAlarm WebhooksThrottledAlarm"},
		{"the only event of a night fails", map[string]float64{"": night, "Sum Count ApiId=WebhookApi": 3, "Sum 5xx ApiId=WebhookApi": 3}, "NoEventsAlarm WebhookApi5xxAlarm"},
		{"one of its attempts fails", map[string]float64{"": night, "Sum Count ApiId=WebhookApi": 2, "Sum 5xx ApiId=WebhookApi": 1, "Sum EventsPublished FunctionName=WebhookFunction": 1}, ""},
		{"one of many webhooks fails three times", map[string]float64{"Sum 5xx ApiId=WebhookApi": 3}, "WebhookApi5xxAlarm"},
		{"clients throttled", map[string]float64{"Sum ClientsThrottled": 30}, "ClientsThrottledAlarm"},
		{"services throttled", map[string]float64{"Sum ServicesThrottled": 20}, "ServicesThrottledAlarm"},
		{"a wrong audience", map[string]float64{"Sum CallersRefusedByUs": 1000, "Sum TokensMinted FunctionName=TokenFunction": 0, "Sum TokensMinted FunctionName=ConfigFunction": 0}, "CallersRefusedAlarm"},
		{"a ninth of the callers refused", map[string]float64{"Sum CallersRefusedByUs": 112}, "CallersRefusedAlarm"},
		{"Stream refuses us", map[string]float64{"Sum StreamRefusals": 3}, "StreamCredentialsAlarm"},
		{"Client API 5xx", map[string]float64{"Sum 5xx ApiId=ClientApi": 30}, "ClientApi5xxAlarm"},
		{"Service API 5xx", map[string]float64{"Sum 5XXError ApiName=chat-service": 9}, "ServiceApi5xxAlarm"},
		{"a bad version", map[string]float64{"Sum ServerErrors": 5}, "ServerErrorsAlarm"},
		{"a crash", map[string]float64{"Sum Errors FunctionName=ConfigFunction": 1}, "FunctionErrorsAlarm"},
		{"no concurrency", map[string]float64{"Sum Throttles FunctionName=ApiKeyFunction": 1}, "FunctionThrottlesAlarm"},
		{"slow", map[string]float64{"p99 Duration FunctionName=TokenFunction": 12000}, "FunctionDurationAlarm"},
		{"slow proxy", map[string]float64{"p99 Duration FunctionName=ProxyFunction": 240000}, "ProxyDurationAlarm"},
		{"slow Stream", map[string]float64{"p99 UpstreamLatency FunctionName=ProxyFunction": 10000}, "UpstreamLatencyAlarm"},
		{"stale", map[string]float64{"Sum SettingsServedStale FunctionName=WebhookFunction": 1}, "SettingsStaleAlarm"},
		{"events in the queue", map[string]float64{"Maximum ApproximateNumberOfMessagesVisible QueueName=FallbackQueue.QueueName": 1}, "FallbackQueueAlarm"},
		{"dead letters", map[string]float64{"Maximum ApproximateNumberOfMessagesVisible QueueName=StreamDeadLetterQueue.QueueName": 1}, "StreamDeadLetterAlarm"},
		{"hooks fail", map[string]float64{"Sum HooksFailed FunctionName=WebhookFunction": 5}, "HookAlarm"},
		{"sign-ins fail", map[string]float64{"Sum SignInFunctionFailed FunctionName=TokenFunction": 2, "Sum SignInFunctionFailed FunctionName=ConfigFunction": 3}, "SignInFunctionAlarm"},
		{"many requests", map[string]float64{"Sum Count ApiId=WebhookApi": 600_000, "Sum Count ApiId=ClientApi": 400_001}, "RequestsAlarm"},
		{"a flood", map[string]float64{"Sum Count ApiId=ClientApi": 12_000_000}, "CostAlarm RequestsAlarm"},
	} {
		metrics := maps.Clone(well)
		if test.metrics[""] == night {
			clear(metrics)
		}
		maps.Copy(metrics, test.metrics)
		var on []string
		for id, alarm := range alarms {
			if rings(t, alarm, metrics) {
				on = append(on, id)
				seen[id] = true
			}
		}
		same(t, test.name, on, strings.Fields(test.want))
	}
	for id := range alarms {
		function, ok := strings.CutSuffix(id, "NewVersionErrorsAlarm")
		if !ok && !seen[id] {
			t.Errorf("%s: want an occasion on which it goes off", id)
		}
		if !ok {
			continue
		}
		// The version that a deployment sends the first requests to, and no other.
		for version := range s.all("AWS::Lambda::Version") {
			if strings.HasPrefix(version, function+"FunctionVersion") {
				line := "Sum Errors FunctionName=" + function + "Function Resource=" + function + "Function:live ExecutedVersion=" + version + ".Version"
				if !rings(t, alarms[id], map[string]float64{line: 1}) || rings(t, alarms[id], well) {
					t.Errorf("%s: want an alarm for %s, got %v", id, line, alarms[id])
				}
			}
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
	if got := fmt.Sprint(alarms["NoEventsAlarm"]["EvaluationPeriods"], " ", alarms["NoEventsAlarm"]["Period"]); got != "6 3600" {
		t.Errorf("want NoEventsHours periods of an hour, got %s", got)
	}
}

// canary returns the stack of deploy/canary.yaml.
func canary(t *testing.T) stack {
	t.Helper()
	text, err := os.ReadFile("deploy/canary.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStack(text, options([]string{"ClientApiUrl=https://c.example.com", "ServiceApiUrl=https://s.example.com/v1",
		"ServiceApiArn=arn:aws:execute-api:eu-central-1:123456789012:f6g7h8i9j0/v1", "AlarmTopicArn=" + topicARN}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCanaryMayGetItsTokenOnlyAndPagesForFailuresAndForSilence(t *testing.T) {
	t.Parallel()
	s := canary(t)
	same(t, "the canary's role", inlineGrants(t, s.properties["Role"]), []string{
		"execute-api:Invoke arn:aws:execute-api:eu-central-1:123456789012:f6g7h8i9j0/v1/GET/token/chat-canary", "logs:CreateLogStream LogGroup.Arn", "logs:PutLogEvents LogGroup.Arn",
	})
	alarm := s.properties["CanaryAlarm"]
	const runs, failures = "Sum Invocations FunctionName=Canary", "Sum Errors FunctionName=Canary"
	for _, test := range []struct {
		name    string
		metrics map[string]float64 // of five minutes
		want    bool
	}{
		{"a run", map[string]float64{runs: 1, failures: 0}, false},
		{"a run, and no word of failures", map[string]float64{runs: 1}, false},
		{"two runs of which one failed", map[string]float64{runs: 2, failures: 1}, false},
		{"a failure", map[string]float64{runs: 1, failures: 1}, true},
		{"no run", nil, true},
	} {
		if got := rings(t, alarm, test.metrics); got != test.want {
			t.Errorf("%s: want an alarm: %t, got %t", test.name, test.want, got)
		}
	}
	if got := fmt.Sprint(alarm["EvaluationPeriods"], " ", alarm["AlarmActions"], alarm["OKActions"]); got != "3 ["+topicARN+"] ["+topicARN+"]" {
		t.Errorf("want a page after three periods, and its end, got %s", got)
	}
}

// Alarms that can wait for working hours; all others wake somebody.
var tickets = strings.Fields("RequestsAlarm CostAlarm FunctionDurationAlarm ProxyDurationAlarm UpstreamLatencyAlarm ServicesThrottledAlarm " +
	"TokenNewVersionErrorsAlarm ApiKeyNewVersionErrorsAlarm ConfigNewVersionErrorsAlarm WebhookNewVersionErrorsAlarm ProxyNewVersionErrorsAlarm")

func TestAlarmsNotifyTheirTargetAndLeadToTheRunbook(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^### (\w+Alarm)\n\n- \*\*Means\*\*: .+\n- \*\*Look\*\*: .+\n- \*\*Do\*\*: .+\n- \*\*Over\*\*: .+$`).FindAllStringSubmatch(string(runbook), -1) {
		headings[strings.ToLower(match[1])] = true
	}
	linked := map[string]bool{}
	leads := func(id string, alarm object) {
		_, anchor, _ := strings.Cut(alarm["AlarmDescription"].(string), "docs/runbook.md#")
		if linked[anchor] = true; !headings[anchor] {
			t.Errorf("%s: want the address of a heading of docs/runbook.md in its description, got %v", id, alarm["AlarmDescription"])
		}
	}
	leads("CanaryAlarm", canary(t).properties["CanaryAlarm"])
	for _, test := range []struct {
		overrides            []string
		page, ticket, topics string
	}{
		{nil, "<nil>", "<nil>", "[]"},
		{full, "[AlarmTopic]", "[AlarmTicketTopic]", "[AlarmTicketTopic=ops@example.com AlarmTopic=ops@example.com]"},
		{private, "[" + topicARN + "]", "[" + topicARN + "-tickets]", "[]"},
	} {
		s := translate(t, test.overrides...)
		for id, alarm := range s.all("AWS::CloudWatch::Alarm") {
			want := test.page
			if slices.Contains(tickets, id) {
				want = test.ticket
			}
			for _, actions := range []string{"AlarmActions", "OKActions"} {
				if got := fmt.Sprint(alarm[actions]); got != want {
					t.Errorf("%q: %s: %s: want %s, got %s", test.overrides, id, actions, want, got)
				}
			}
			if missing := alarm["TreatMissingData"]; id != "NoEventsAlarm" && missing != "notBreaching" {
				t.Errorf("%s: want missing data to raise no alarm, got %v", id, missing)
			}
			leads(id, alarm)
		}
		var topics []string
		for id, topic := range s.all("AWS::SNS::Topic") {
			topics = append(topics, id+"="+fmt.Sprint(dig(topic["Subscription"].(list)[0], "Endpoint")))
		}
		if slices.Sort(topics); fmt.Sprint(topics) != test.topics {
			t.Errorf("%q: want topics %s, got %s", test.overrides, test.topics, topics)
		}
	}
	same(t, "headings of docs/runbook.md", sortedKeys(headings), sortedKeys(linked))
}

// outcomes are the paths of a function that [failing] builds, what its handler
// returns there, whose fault it says that is, and the metric that counts the line.
var outcomes = map[string]struct {
	err           error
	fault, metric string
}{
	"/well":             {},
	"/not-signed-in":    {err: identity.ErrBadToken},
	"/ssm-throttles":    {err: fmt.Errorf("%w: %w", settings.ErrUnavailable, settings.ErrThrottled)},
	"/issuer-throttles": {err: fmt.Errorf("%w: %w", identity.ErrUnavailable, identity.ErrThrottled)},
	"/stream-fails":     {err: httpjson.Errorf(http.StatusBadGateway, "Stream"), fault: "Stream"},
	"/broken-config":    {err: httpjson.Errorf(http.StatusInternalServerError, "Broken"), fault: "ClientConfiguration"},
	"/ssm-refuses":      {err: settings.ErrUnavailable, metric: "ServerErrors"}, // a role or a prefix is wrong
	"/defect":           {err: errors.New("defect"), metric: "ServerErrors"},
}

// failing is the build of a function that answers as outcomes says.
func failing(context.Context, func(string) string) (http.Handler, error) {
	return api.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		outcome := outcomes[r.URL.Path]
		if outcome.fault != "" {
			lambdahttp.Annotate(r.Context(), slog.String("fault", outcome.fault))
		}
		return outcome.err
	}), nil
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
	seen := 0
	for line := range strings.Lines(f.Output()) {
		var fields object
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if path, ok := fields["route"].(string); ok {
			seen++
			for id := range functions {
				got := counted(t, id+"LogGroup", fields)
				same(t, id+" "+path, slices.DeleteFunc(got, func(metric string) bool { return metric != "ServerErrors" }), strings.Fields(outcomes[path].metric))
			}
		}
	}
	if seen != len(outcomes) {
		t.Errorf("want %d request lines, got %d", len(outcomes), seen)
	}
}

func TestMetricFiltersCountTheLinesThatTheyAreFor(t *testing.T) {
	t.Parallel()
	s := translate(t, full...)
	stream, client := s.get("WebhookStage", "AccessLogSettings", "Format").(string), s.get("ClientApiApiGatewayDefaultStage", "AccessLogSettings", "Format").(string)
	if got := strings.Replace(stream, `{"api":"webhook",`, "{", 1); got != client || got == stream {
		t.Errorf("want lines that tell Stream's API from the Client API, got %s", stream)
	}
	for _, test := range []struct{ group, line, want string }{
		{"Token", `{"status":401,"refused":"the token is for another audience"}`, "CallersRefusedByUs"},
		{"Config", `{"status":200,"refused":"the token is another issuer's"}`, "CallersRefusedByUs"},
		{"Config", `{"status":503,"limit":"Issuer","refused":"the issuer's keys are unavailable"}`, "CallersRefusedByUs"},
		{"Token", `{"status":401,"refused":"the token has expired"}`, ""},
		{"Token", `{"status":201,"notSynced":"want success from Stream, got status 401 with code 43"}`, "StreamRefusals"},
		{"Config", `{"status":200,"notSynced":"want success from Stream, got status 503 with code 0"}`, ""},
		{"Proxy", `{"status":401}`, "StreamRefusals"},
		{"Proxy", `{"status":403}`, "StreamRefusals"},
		{"Proxy", `{"status":404}`, ""},
		{"Proxy", `{"status":503,"fault":"Stream"}`, ""},
		{"Webhook", `{"status":401}`, ""},
		{"ClientApi", `{"api":"webhook","route":"POST ` + webhookPath + `","status":"429","integrationStatus":"-"}`, "WebhooksRefused WebhooksThrottled"},
		{"ClientApi", `{"route":"POST /webhook","status":"429","integrationStatus":"-"}`, ""}, // everybody knows it
		{"ClientApi", `{"route":"POST /webhook/PassOnPendingMessage","status":"401","integrationStatus":"200"}`, ""},
		{"ClientApi", `{"api":"webhook","route":"POST ` + webhookPath + `","status":"401","integrationStatus":"200"}`, "WebhooksRefused"},
		{"ClientApi", `{"api":"webhook","route":"POST ` + webhookPath + `","status":"200","integrationStatus":"200"}`, ""},
		{"ClientApi", `{"api":"webhook","route":"-","status":"404","integrationStatus":"-"}`, ""}, // a scanner
		{"ClientApi", `{"route":"GET /config","status":"429","integrationStatus":"-"}`, "ClientsThrottled"},
		{"ClientApi", `{"route":"GET /token/{userId}","status":"429","integrationStatus":"200"}`, ""}, // the function's own
		{"ServiceApi", `{"status":"429","error":"THROTTLED"}`, "ServicesThrottled"},
		{"ServiceApi", `{"status":"429","error":"-"}`, ""}, // Stream's
	} {
		var fields object
		if err := json.Unmarshal([]byte(test.line), &fields); err != nil {
			t.Fatal(err)
		}
		same(t, test.group+" "+test.line, counted(t, test.group+"LogGroup", fields), strings.Fields(test.want))
	}
}

// counted returns the metrics that count a line of a log group.
func counted(t *testing.T, group string, fields object) (metrics []string) {
	t.Helper()
	for _, filter := range translate(t, full...).all("AWS::Logs::MetricFilter") {
		transformation := filter["MetricTransformations"].(list)[0]
		if dig(transformation, "MetricNamespace") != "ChatServiceBackend/chat" || dig(transformation, "MetricValue") != "1" {
			t.Errorf("want a count in the namespace that the alarms watch, got %v", transformation)
		}
		if filter["LogGroupName"] == group && matches(t, filter["FilterPattern"].(string), fields) {
			metrics = append(metrics, dig(transformation, "MetricName").(string))
		}
	}
	return metrics
}

// matches reports whether a metric filter's pattern matches a log line. It knows the
// operators that the template uses.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
func matches(t *testing.T, pattern string, fields object) bool {
	t.Helper()
	any := strings.Contains(pattern, " || ")
	for condition := range strings.SplitSeq(strings.ReplaceAll(strings.Trim(pattern, "{ }"), " || ", " && "), " && ") {
		word := regexp.MustCompile(`^\(?\$\.(\w+) (?:(>=|=) (?:(\d+)|"(.*)")|NOT EXISTS)\)?$`).FindStringSubmatch(condition)
		if word == nil {
			t.Fatalf("want a condition that this test knows, got %s", condition)
		}
		value, exists := fields[word[1]]
		n, isNumber := value.(float64)
		text, isText := value.(string)
		number, _ := strconv.ParseFloat(word[3], 64)
		holds := !exists
		switch {
		case word[3] != "":
			holds = isNumber && (n == number || word[2] == ">=" && n > number)
		case word[2] != "":
			glob := "^" + strings.ReplaceAll(regexp.QuoteMeta(word[4]), `\*`, ".*") + "$"
			holds = isText && regexp.MustCompile(glob).MatchString(text)
		}
		if holds == any {
			return any
		}
	}
	return !any
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
			if _, expression := line[0].(object); expression || line[0] == "..." {
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
		// A dashboard cannot leave out an alarm that does not exist.
		if !strings.HasSuffix(id, "NewVersionErrorsAlarm") && !strings.HasPrefix(id, "ServicesThrottled") {
			want = append(want, id+".Arn")
		}
		all, _ := watches(alarm)
		for _, w := range all {
			if w.namespace == "ChatServiceBackend" {
				metrics[w.metric] = true
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

func TestEveryMetricIsInTheDocs(t *testing.T) {
	t.Parallel()
	metrics := sentMetrics(t)
	for _, filter := range translate(t, full...).all("AWS::Logs::MetricFilter") {
		metrics = append(metrics, dig(filter["MetricTransformations"].(list)[0], "MetricName").(string))
	}
	slices.Sort(metrics)
	same(t, "metrics in docs/monitoring.md", named(t, "monitoring.md", "(?m)^\\| ((?:`\\w+` ?)+)\\|"), slices.Compact(metrics))
}

func TestQueriesAreSavedForAllFunctions(t *testing.T) {
	t.Parallel()
	queries := translate(t).all("AWS::Logs::QueryDefinition")
	if len(queries) != 9 {
		t.Errorf("want nine queries, got %q", sortedKeys(queries))
	}
	for id, query := range queries {
		if name := query["Name"].(string); !strings.HasPrefix(name, "chat/") {
			t.Errorf("%s: want a name that begins with the stack's, got %s", id, name)
		}
		var want []string
		for function := range functions {
			want = append(want, function+"LogGroup")
		}
		same(t, id, texts(query["LogGroupNames"]), want)
	}
}
