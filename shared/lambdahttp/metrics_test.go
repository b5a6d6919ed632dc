package lambdahttp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

func TestMetricsLineIsJSONWhateverItsTexts(t *testing.T) {
	var out bytes.Buffer
	defer func(before io.Writer) { metricsOut = before }(metricsOut)
	metricsOut = &out
	for _, text := range []string{"", "8476a536-e9f4-11e8-9739-2dfe598c3fcd", `a"b\`, "\x00\n\x7f", "é\u2028", "\xff"} {
		out.Reset()
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: text})
		measureAndEnd(ctx, text)
		var line struct {
			RequestID       string `json:"requestId"`
			Reason          string
			UpstreamLatency float64
			CallersRefused  float64
		}
		var want string // as encoding/json has it, which replaces what is no UTF-8
		encoded, _ := json.Marshal(text)
		_ = json.Unmarshal(encoded, &want)
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%q: want JSON, got %s: %v", text, out.Bytes(), err)
		}
		if line.RequestID != want || line.Reason != want || line.UpstreamLatency != 1234.567 || line.CallersRefused != 1 {
			t.Errorf("%q: want it as request id and reason, 1234.567 and 1, got %s", text, out.Bytes())
		}
	}
}

// measureAndEnd is a request in which two things are measured.
func measureAndEnd(ctx context.Context, reason string) {
	ctx, request := newRequestLog(ctx, &event{})
	Milliseconds(ctx, "UpstreamLatency", 1234567*time.Microsecond)
	CountBy(ctx, "CallersRefused", "Reason", reason)
	request.end(200, nil)
}

func BenchmarkRequestLog(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		measureAndEnd(b.Context(), "OtherUser")
	}
	logs.take()
}
