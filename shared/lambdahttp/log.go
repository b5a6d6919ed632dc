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

// newLogHandler returns a handler that writes the JSON lines that CloudWatch
// and Lambda's log levels expect: timestamp, level, message, and requestId at
// top level. level is the value of AWS_LAMBDA_LOG_LEVEL.
//
// The one in lambdacontext puts the request id inside the innermost group and
// does not know Lambda's levels TRACE and FATAL.
//
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
func newLogHandler(w io.Writer, level string) slog.Handler {
	return logHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level:       logLevel(level),
		ReplaceAttr: lambdacontext.ReplaceAttr,
	}), nil}
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

// A logHandler adds the request id. It keeps groups and attributes back until
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
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		out = out.WithAttrs([]slog.Attr{slog.String("requestId", lc.AwsRequestID)})
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

// A requestLog gathers what the one log line of a request says.
type requestLog struct {
	ctx       context.Context
	start     time.Time
	route     string
	method    string
	callerARN string

	mu      sync.Mutex
	caller  string
	attrs   []slog.Attr
	metrics []metric
}

type requestLogKey struct{}

func newRequestLog(ctx context.Context, e *event) (context.Context, *requestLog) {
	l := &requestLog{start: time.Now(), route: e.route(), method: e.method(), callerARN: e.callerARN(), caller: "anonymous"}
	if l.callerARN != "" {
		l.caller = "service"
	}
	l.ctx = context.WithValue(ctx, requestLogKey{}, l)
	return l.ctx, l
}

// CallerARN is the ARN of the IAM principal that signed the request ctx belongs
// to, as API Gateway has verified it, or empty where nobody did.
func CallerARN(ctx context.Context) string {
	if l, ok := ctx.Value(requestLogKey{}).(*requestLog); ok {
		return l.callerARN
	}
	return ""
}

// SetCaller says in the log line of the request that ctx belongs to what kind of
// caller sent it. Callers are anonymous until somebody says otherwise, and a
// service where they have an IAM identity.
func SetCaller(ctx context.Context, kind string) {
	if l, ok := ctx.Value(requestLogKey{}).(*requestLog); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.caller = kind
	}
}

// Annotate adds attrs to the log line of the request that ctx belongs to. They
// must hold no secret, token, body, nor the name of a person.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	if l, ok := ctx.Value(requestLogKey{}).(*requestLog); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.attrs = append(l.attrs, attrs...)
	}
}

// end writes what is known of the request once its answer is: the log line and,
// where something was measured, the metrics.
func (l *requestLog) end(status int, cause error) {
	l.mu.Lock()
	attrs := append([]slog.Attr{slog.String("caller", l.caller)}, l.attrs...)
	metrics := l.metrics
	l.mu.Unlock()
	l.log(status, cause, attrs)
	if len(metrics) > 0 {
		l.emit(metrics)
	}
}

// log writes the request's line: at ERROR with its cause where the answer says
// that it is our failure, or broke off; else at INFO.
func (l *requestLog) log(status int, cause error, more []slog.Attr) {
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError || (cause != nil && status < http.StatusBadRequest) || errors.Is(cause, errBroken) {
		level = slog.LevelError
	}
	if !slog.Default().Enabled(l.ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	// aws-lambda-go keeps the trace id under this untyped key.
	if trace, _ := l.ctx.Value("x-amzn-trace-id").(string); trace != "" {
		attrs = append(attrs, slog.String("traceId", trace))
	}
	attrs = append(attrs,
		slog.String("method", l.method),
		slog.String("route", l.route),
		slog.Int("status", status),
		slog.Float64("durationMs", float64(time.Since(l.start).Microseconds())/1000),
	)
	attrs = append(attrs, more...)
	if cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	slog.LogAttrs(l.ctx, level, "request", attrs...)
}
