package lambdahttp

import (
	"context"
	"testing"
	"time"
)

// measureAndEnd is a request in which two things are measured.
func measureAndEnd(ctx context.Context, reason string) {
	ctx, line := newLogLine(ctx, "")
	Milliseconds(ctx, "UpstreamLatency", 1234567*time.Microsecond)
	CountBy(ctx, "CallersRefused", "Reason", reason)
	line.endRequest(request{}, 200, nil)
}

func BenchmarkRequestLog(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		measureAndEnd(b.Context(), "OtherUser")
	}
	logs.take()
}
