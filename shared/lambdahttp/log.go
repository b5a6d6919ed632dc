package lambdahttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// newLogHandler returns a handler that writes JSON lines as CloudWatch and
// Lambda's log levels expect them: timestamp, level, message, version,
// requestId and traceId at top level. level is the value of AWS_LAMBDA_LOG_LEVEL.
//
// The one in lambdacontext puts the request id inside the innermost group and
// does not know Lambda's levels TRACE and FATAL.
//
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
func newLogHandler(w io.Writer, level string) slog.Handler {
	return logHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level:       logLevel(level),
		ReplaceAttr: lambdacontext.ReplaceAttr,
	}).WithAttrs([]slog.Attr{slog.String("version", version)}), nil}
}

func logLevel(name string) slog.Level {
	switch strings.ToUpper(name) {
	case "TRACE":
		return slog.LevelDebug - 4
	case "DEBUG":
		return slog.LevelDebug
	case "WARN":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	case "FATAL":
		return slog.LevelError + 4
	default:
		return slog.LevelInfo
	}
}

// A logHandler adds the request id and the trace id. It keeps groups and attributes back until
// then, because an attribute can be added at top level only before any group.
type logHandler struct {
	top  slog.Handler
	with []func(slog.Handler) slog.Handler
}

func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.top.Enabled(ctx, level)
}

func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	out := h.top
	attrs := make([]slog.Attr, 0, 2)
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("requestId", lc.AwsRequestID))
	}
	if trace := TraceHeader(ctx); trace != "" {
		attrs = append(attrs, slog.String("traceId", trace))
	}
	if len(attrs) > 0 {
		out = out.WithAttrs(attrs)
	}
	for _, with := range h.with {
		out = with(out)
	}
	return out.Handle(ctx, record)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.and(func(out slog.Handler) slog.Handler { return out.WithAttrs(attrs) })
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return h.and(func(out slog.Handler) slog.Handler { return out.WithGroup(name) })
}

func (h logHandler) and(with func(slog.Handler) slog.Handler) slog.Handler {
	return logHandler{h.top, append(h.with[:len(h.with):len(h.with)], with)}
}

// A logLine gathers what the one log line of a request or a message says, and
// the metrics that come with it.
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

// newLogLine begins a line, which the returned context carries.
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

// CallerARN returns the ARN of the IAM principal that signed the request which
// ctx belongs to, as API Gateway has verified it, or "" if none did.
func CallerARN(ctx context.Context) (arn string) {
	change(ctx, func(l *logLine) { arn = l.callerARN })
	return arn
}

// TraceHeader returns X-Ray's trace header of the invocation that ctx belongs to,
// such as Root=1-…;Parent=…;Sampled=1, or "". Lambda sends one even with tracing
// off.
func TraceHeader(ctx context.Context) string {
	// aws-lambda-go keeps it under this untyped key.
	trace, _ := ctx.Value("x-amzn-trace-id").(string)
	return trace
}

// SetCaller sets the kind of caller in the log line of the request that ctx
// belongs to. Callers are anonymous until then, or a service if they have an IAM
// identity.
func SetCaller(ctx context.Context, kind string) {
	change(ctx, func(l *logLine) { l.caller = kind })
}

// Annotate adds attrs to the log line of the request that ctx belongs to. They
// must hold no secret, token or body.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	change(ctx, func(l *logLine) { l.attrs = append(l.attrs, attrs...) })
}

// endRequest writes the line of a request: at ERROR if the answer says that the
// failure is ours, or broke off; else at INFO.
func (l *logLine) endRequest(q request, status int, cause error) {
	failed := status >= http.StatusInternalServerError || (cause != nil && status < http.StatusBadRequest) || errors.Is(cause, errBroken)
	l.end("request", failed, cause, slog.String("method", q.method), slog.String("route", q.route), slog.Int("status", status))
}

// end writes the line, first attrs and cause included, and the metrics.
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
