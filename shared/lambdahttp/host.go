package lambdahttp

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// A Host runs one function in a process that has others, such as the development
// server, which runs them all. It turns the same events into the same answers as
// [Main], but its log lines and metrics go to a writer of its own.
type Host struct {
	name  string
	log   slog.Handler
	out   io.Writer
	serve handler
}

type hostKey struct{}

// NewHost returns a host for a function of this name, with the log level that Lambda
// would set. Each line is one Write to out.
func NewHost(name, level string, out io.Writer) *Host {
	return &Host{name: name, log: newLogHandler(out, level), out: out}
}

// Start builds the function, which streams its responses to a REST API if streamed.
func (h *Host) Start(ctx context.Context, build Build, getenv func(string) string, streamed bool) error {
	ctx, cancel := context.WithTimeout(h.Context(ctx, "", ""), initTimeout)
	defer cancel()
	built, err := build(ctx, getenv)
	if err != nil {
		return err
	}
	if h.serve = wrap(built); streamed {
		h.serve = wrapStreamed(built)
	}
	return nil
}

// Context returns a context for an invocation with a request id and an X-Ray trace.
func (h *Host) Context(ctx context.Context, id, trace string) context.Context {
	ctx = context.WithValue(ctx, hostKey{}, h)
	if id != "" {
		ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id})
	}
	//lint:ignore SA1029 aws-lambda-go keeps the trace under this key
	return context.WithValue(ctx, "x-amzn-trace-id", trace)
}

// Invoke returns the answer to the JSON of an event: JSON too, or a prelude and the body
// if the function streams it. The caller must close it.
func (h *Host) Invoke(ctx context.Context, payload []byte) (io.ReadCloser, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	response, err := h.serve(ctx, e)
	if err != nil {
		return nil, err
	}
	if body, ok := response.(io.ReadCloser); ok {
		return body, nil
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // as aws-lambda-go does
	if err := encoder.Encode(response); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(text.String())), nil
}

// LogHandler returns a handler for a process with hosts: what a function logs goes to its
// host, everything else to otherwise.
func LogHandler(otherwise slog.Handler) slog.Handler { return hostHandler{otherwise} }

type hostHandler struct{ slog.Handler }

func (h hostHandler) of(ctx context.Context) slog.Handler {
	if host, ok := ctx.Value(hostKey{}).(*Host); ok {
		return host.log
	}
	return h.Handler
}

func (h hostHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(ctx).Enabled(ctx, level)
}

func (h hostHandler) Handle(ctx context.Context, record slog.Record) error {
	return h.of(ctx).Handle(ctx, record)
}
