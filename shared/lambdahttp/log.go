package lambdahttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// newLogHandler returns a handler that writes the JSON lines that CloudWatch and
// Lambda's log levels expect: timestamp, level, message, version, requestId and
// traceId at top level. level is the value of AWS_LAMBDA_LOG_LEVEL.
//
// The one in lambdacontext has no trace id and does not know Lambda's levels TRACE
// and FATAL.
//
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
func newLogHandler(w io.Writer, level string) slog.Handler {
	return logHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level:       logLevel(level),
		ReplaceAttr: lambdacontext.ReplaceAttr,
	}).WithAttrs([]slog.Attr{slog.String("version", version)})}
}

func logLevel(name string) (level slog.Level) {
	switch strings.ToUpper(name) {
	case "TRACE":
		return slog.LevelDebug - 4
	case "FATAL":
		return slog.LevelError + 4
	}
	_ = level.UnmarshalText([]byte(name)) // INFO if name is unknown
	return level
}

// A logHandler adds the request id and the trace id. They are at top level unless a
// logger has a group, which none of ours has.
type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	record = record.Clone()
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		record.AddAttrs(slog.String("requestId", lc.AwsRequestID))
	}
	if trace := TraceHeader(ctx); trace != "" {
		record.AddAttrs(slog.String("traceId", trace))
	}
	return h.Handler.Handle(ctx, record)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}

// A logLine collects the contents of the log line of a request or a message, and its
// metrics.
type logLine struct {
	ctx       context.Context
	start     time.Time
	callerARN string

	mu      sync.Mutex
	caller  string
	attrs   []slog.Attr
	metrics []metric
}

type logLineKey struct{}

// newLogLine returns a line, and a context that carries it.
func newLogLine(ctx context.Context, callerARN string) (context.Context, *logLine) {
	l := &logLine{start: time.Now(), callerARN: callerARN, caller: "anonymous"}
	if callerARN != "" {
		l.caller = "service"
	}
	l.ctx = context.WithValue(ctx, logLineKey{}, l)
	return l.ctx, l
}

// change changes the line that ctx carries, if it carries one.
func change(ctx context.Context, f func(*logLine)) {
	if l, ok := ctx.Value(logLineKey{}).(*logLine); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		f(l)
	}
}

// CallerARN returns the ARN of the IAM principal that signed the request of ctx, as
// verified by API Gateway, or "" if nobody signed it.
func CallerARN(ctx context.Context) (arn string) {
	change(ctx, func(l *logLine) { arn = l.callerARN })
	return arn
}

// TraceHeader returns the X-Ray trace header of the invocation of ctx, such as
// Root=1-…;Parent=…;Sampled=1, or "". Lambda sends one even with tracing off. A caller may
// have sent parts of it: those that X-Ray does not know are left out, since it is logged.
func TraceHeader(ctx context.Context) string {
	// aws-lambda-go keeps it under this untyped key.
	trace, _ := ctx.Value("x-amzn-trace-id").(string)
	kept := strings.FieldsFunc(trace, func(c rune) bool { return c == ';' })
	kept = slices.DeleteFunc(kept, func(part string) bool {
		name, value, _ := strings.Cut(part, "=")
		return !slices.Contains(traceParts, name) || strings.Trim(value, "0123456789abcdef-:|?") != ""
	})
	return strings.Join(kept, ";")
}

// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
var traceParts = []string{"Root", "Parent", "Sampled", "Lineage"}

// SetCaller sets the kind of caller in the log line of the request of ctx. It is
// anonymous until then, or service for an IAM principal.
func SetCaller(ctx context.Context, kind string) {
	change(ctx, func(l *logLine) { l.caller = kind })
}

// Annotate adds attrs to the log line of the request of ctx. They must not contain a
// secret, token or body.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	change(ctx, func(l *logLine) { l.attrs = append(l.attrs, attrs...) })
}

// endRequest writes the line of a request: at ERROR if the failure is ours or the
// response broke off, else at INFO.
func (l *logLine) endRequest(q request, status int, cause error) {
	failed := status >= http.StatusInternalServerError || (cause != nil && status < http.StatusBadRequest) || errors.Is(cause, errBroken)
	l.end("request", failed, cause, slog.String("method", q.method), slog.String("route", q.route), slog.Int("status", status))
}

// end writes the line, beginning with the attributes first, and the metrics.
func (l *logLine) end(message string, failed bool, cause error, first ...slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.metrics) > 0 {
		defer l.emit()
	}
	level := slog.LevelInfo
	if failed {
		level = slog.LevelError
	}
	if !slog.Default().Enabled(l.ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, first...)
	attrs = append(attrs, slog.Float64("durationMs", milliseconds(time.Since(l.start))), slog.String("caller", l.caller))
	if l.callerARN != "" {
		attrs = append(attrs, slog.String("callerArn", l.callerARN))
	}
	attrs = append(attrs, l.attrs...)
	if cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	slog.LogAttrs(l.ctx, level, message, attrs...)
}

// milliseconds returns d in milliseconds, to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
