package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"chat-service-backend/shared/httpjson"
)

func TestOneLogLinePerRequest(t *testing.T) {
	for name, text := range shapes {
		t.Run(name, func(t *testing.T) {
			//lint:ignore SA1029 aws-lambda-go keeps the trace id under this key
			ctx := context.WithValue(invocation(t), "x-amzn-trace-id", "Root=1-2-3;Bearer e30.e30.c2ln;Root=u1;Parent=a secret;Sampled=1")
			if _, err := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				SetCaller(r.Context(), "user")
				Annotate(r.Context(), slog.Bool("isValid", true))
				w.WriteHeader(http.StatusCreated)
			}))(ctx, *decode(t, text)); err != nil {
				t.Fatal(err)
			}
			log := logs.take()
			all := records(t, log)
			if len(all) != 1 {
				t.Fatalf("want one line, got %s", log)
			}
			line := all[0]
			for key, want := range map[string]any{
				"level": "INFO", "message": "request", "version": "dev", "requestId": "request-1", "traceId": "Root=1-2-3;Sampled=1", // and nothing else that a caller may have sent
				"method": "GET", "route": "/token/{userId}", "status": 201.0, "caller": "user", "isValid": true,
			} {
				if line[key] != want {
					t.Errorf("%s: want %v, got %v", key, want, line[key])
				}
			}
			if stamp, _ := line["timestamp"].(string); stamp == "" {
				t.Error("want a timestamp, got none")
			} else if _, err := time.Parse(time.RFC3339, stamp); err != nil {
				t.Errorf("want a timestamp as in RFC 3339, got %s", stamp)
			}
			if d, ok := line["durationMs"].(float64); !ok || d < 0 {
				t.Errorf("want a duration, got %v", line["durationMs"])
			}
			if line["cause"] != nil {
				t.Errorf("want no cause, got %v", line["cause"])
			}
			if strings.Contains(log, "u1") || strings.Contains(log, "192.0.2.7") {
				t.Errorf("want neither user id nor address in the log, got %s", log)
			}
		})
	}
}

func TestLogLineNamesTheCaller(t *testing.T) {
	const arn = "arn:aws:iam::1:user/x"
	signed := changed(t, restEvent, map[string]any{"requestContext": map[string]any{"identity": map[string]any{"userArn": arn}}})
	for text, want := range map[string]map[string]any{
		restEvent: {"caller": "anonymous"}, httpEvent: {"caller": "anonymous"}, signed: {"caller": "service", "callerArn": arn},
	} {
		serveEvent(t, wrap(http.NotFoundHandler()), text)
		log := logs.take()
		if got := requestLines(t, log); len(got) != 1 || got[0]["caller"] != want["caller"] || got[0]["callerArn"] != want["callerArn"] {
			t.Errorf("want %v, got %s", want, log)
		}
	}
}

func TestLogLineOfAFailureHasItsCause(t *testing.T) {
	tests := []struct {
		err          error
		level, cause string
	}{
		{&httpjson.Error{Status: 503, Message: "Later.", Cause: errors.New("no route to host")}, "ERROR", "no route to host"},
		{errors.New("a plain error"), "ERROR", "a plain error"},
		{&httpjson.Error{Status: 401, Message: "Who?", Cause: errors.New("expired")}, "INFO", "expired"},
		{&httpjson.Error{Status: 201, Message: "Late.", Cause: errors.New("failed late")}, "ERROR", "failed late"},
		{fmt.Errorf("wrapped: %w", httpjson.Errorf(404, "Not here.")), "INFO", "wrapped: Not here."},
	}
	for _, test := range tests {
		for name, text := range shapes {
			a := serveEvent(t, wrap(returning(func(http.ResponseWriter, *http.Request) error { return test.err })), text)
			log := logs.take()
			if got := records(t, log); len(got) != 1 || got[0]["level"] != test.level || got[0]["cause"] != test.cause {
				t.Errorf("%s: want one line at %s with cause %q, got %s", name, test.level, test.cause, log)
			}
			if strings.Contains(a.Body, "no route") || strings.Contains(a.Body, "a plain error") || strings.Contains(a.Body, "expired") {
				t.Errorf("%s: want no cause in the answer, got %s", name, a.Body)
			}
		}
	}
}

func TestLogLevels(t *testing.T) {
	levels := []slog.Level{slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 4}
	for name, want := range map[string]int{
		"TRACE": 6, "DEBUG": 5, "INFO": 4, "": 4, "nonsense": 4, "WARN": 3, "ERROR": 2, "FATAL": 1, "warn": 3,
	} {
		var out lines
		logger := slog.New(newLogHandler(&out, name))
		for _, level := range levels {
			logger.Log(t.Context(), level, "x")
		}
		if got := len(records(t, out.take())); got != want {
			t.Errorf("AWS_LAMBDA_LOG_LEVEL %q: want %d of six lines, got %d", name, want, got)
		}
	}
}

func TestLoggerWithAttributesKeepsTheRequestID(t *testing.T) {
	var out lines
	logger := slog.New(newLogHandler(&out, "")).With("a", 1)
	logger.InfoContext(invocation(t), "x")
	if got := records(t, out.take())[0]; got["requestId"] != "request-1" || got["a"] != 1.0 {
		t.Errorf("want the request id and the attribute, got %v", got)
	}
	logger.Info("outside of a request")
	if got := records(t, out.take())[0]; got["requestId"] != nil {
		t.Errorf("want no request id outside of a request, got %v", got)
	}
}

func TestLogHandlerFollowsSlogsRules(t *testing.T) {
	var out lines
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.take()
		return newLogHandler(&out, "")
	}, func(t *testing.T) map[string]any {
		line := records(t, out.take())[0]
		for theirs, ours := range map[string]string{slog.TimeKey: "timestamp", slog.MessageKey: "message"} {
			if value, ok := line[ours]; ok {
				line[theirs] = value
				delete(line, ours)
			}
		}
		return line
	})
}

func TestAnnotationsOutsideOfLambdaAreDropped(t *testing.T) {
	SetCaller(t.Context(), "user")
	Annotate(t.Context(), slog.Int("n", 1))
	Count(t.Context(), "N")
}

func TestMetricsAreOneLineInEmbeddedMetricFormat(t *testing.T) {
	name := lambdacontext.FunctionName
	lambdacontext.FunctionName = "token"
	t.Cleanup(func() { lambdacontext.FunctionName = name })
	before := time.Now().UnixMilli()
	serveEvent(t, wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Count(r.Context(), "TokensMinted")
		Count(r.Context(), "SettingsServedStale")
		Count(r.Context(), "SettingsServedStale")
		CountBy(r.Context(), "CallersRefused", "Reason", "NoToken")
		Milliseconds(r.Context(), "UpstreamLatency", 1500*time.Microsecond)
	})), restEvent)
	text := metricLines.take()
	if strings.Count(text, "\n") != 1 || strings.Contains(logs.take(), "TokensMinted") {
		t.Fatalf("want one line, and none of it in the log, got %q", text)
	}
	var root map[string]any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"FunctionName": "token", "Reason": "NoToken", "requestId": "request-1",
		"TokensMinted": 1.0, "SettingsServedStale": 2.0, "CallersRefused": 1.0, "UpstreamLatency": 1.5,
	} {
		if root[key] != want {
			t.Errorf("%s: want %v at the root, got %v", key, want, root[key])
		}
	}
	got := emfMetrics(t, root, before)
	want := []string{
		"CallersRefused Count [FunctionName Reason]", "CallersRefused Count [FunctionName]",
		"SettingsServedStale Count [FunctionName]", "TokensMinted Count [FunctionName]", "UpstreamLatency Milliseconds [FunctionName]",
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("want metrics\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

// emfMetrics checks root against the published structure and returns its
// metrics, one "name unit dimensions" for each set of dimensions.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func emfMetrics(t *testing.T, root map[string]any, notBefore int64) []string {
	t.Helper()
	raw, err := json.Marshal(root["_aws"])
	if err != nil {
		t.Fatal(err)
	}
	var aws struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&aws); err != nil {
		t.Fatalf("_aws: %v in %s", err, raw)
	}
	// Decoding ignores case; CloudWatch does not.
	var again any
	if encoded, err := json.Marshal(aws); err != nil || json.Unmarshal(encoded, &again) != nil || !reflect.DeepEqual(again, root["_aws"]) {
		t.Errorf("want the published names, got %s", raw)
	}
	if aws.Timestamp < notBefore || aws.Timestamp > time.Now().UnixMilli() {
		t.Errorf("Timestamp: want milliseconds since 1970, now, got %d", aws.Timestamp)
	}
	var metrics []string
	for _, directive := range aws.CloudWatchMetrics {
		if directive.Namespace != "ChatServiceBackend" || len(directive.Dimensions) == 0 || len(directive.Metrics) == 0 || len(directive.Metrics) > 100 {
			t.Errorf("want namespace, dimensions and metrics in each directive, got %+v", directive)
		}
		for _, dimensions := range directive.Dimensions {
			for _, dimension := range dimensions {
				if value, ok := root[dimension].(string); !ok || value == "" || len(dimensions) > 30 {
					t.Errorf("dimension %s: want a text at the root, got %v", dimension, root[dimension])
				}
			}
			for _, metric := range directive.Metrics {
				if _, ok := root[metric.Name].(float64); !ok {
					t.Errorf("metric %s: want a number at the root, got %v", metric.Name, root[metric.Name])
				}
				metrics = append(metrics, fmt.Sprint(metric.Name, " ", metric.Unit, " ", dimensions))
			}
		}
	}
	return metrics
}

func TestRequestWithoutMetricsWritesNone(t *testing.T) {
	serveEvent(t, wrap(http.NotFoundHandler()), restEvent)
	if got := metricLines.take(); got != "" {
		t.Errorf("want nothing, got %q", got)
	}
}

func TestMetricsAreWrittenWhateverTheLogLevel(t *testing.T) {
	old := slog.Default()
	slog.SetDefault(slog.New(newLogHandler(logs, "FATAL")))
	t.Cleanup(func() { slog.SetDefault(old) })
	serveEvent(t, wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { Count(r.Context(), "N") })), restEvent)
	if log := logs.take(); log != "" || !strings.Contains(metricLines.take(), `"N":1`) {
		t.Errorf("want metrics and no log line, got log %q", log)
	}
}
