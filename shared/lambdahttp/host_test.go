package lambdahttp

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestEachHostHasItsOwnLogLinesAndMetrics(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	var process, one, two strings.Builder
	slog.SetDefault(slog.New(LogHandler(slog.NewTextHandler(&process, nil))))
	build := func(ctx context.Context, getenv func(string) string) (http.Handler, error) {
		slog.WarnContext(ctx, "built")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			Count(r.Context(), "Requests")
			_, _ = io.WriteString(w, "<"+getenv("NAME")+">")
		}), nil
	}
	for name, out := range map[string]*strings.Builder{"one": &one, "two": &two} {
		h := NewHost(name, "INFO", out)
		if err := h.Start(t.Context(), build, func(string) string { return name }, name == "two"); err != nil {
			t.Fatal(err)
		}
		answer, err := h.Invoke(h.Context(t.Context(), "request-"+name, "Root=1"), []byte(shapes["REST API"]))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer)
		_ = answer.Close()
		if err != nil || !strings.Contains(string(text), "<"+name+">") {
			t.Errorf("%s: want the handler's answer, got %s, %v", name, text, err)
		}
		for _, part := range []string{`"message":"built"`, `"message":"request"`, `"FunctionName":"` + name + `"`, `"requestId":"request-` + name + `"`} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: want %s in its lines, got %s", name, part, out)
			}
		}
	}
	slog.Info("nobody's")
	if got := process.String(); strings.Count(got, "\n") != 1 || strings.Contains(one.String(), "two") {
		t.Errorf("want a function's lines with its host and no other, got %q and %q", got, &one)
	}
}
