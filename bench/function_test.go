package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/runtimeapi"
)

// binary returns a built command: one of the functions, floor/<name>, or an absolute path.
func binary(tb testing.TB, name string) string {
	tb.Helper()
	if filepath.IsAbs(name) {
		return name
	}
	floor, ok := strings.CutPrefix(name, "floor/")
	if !ok {
		return awstest.Functions(tb)[name]
	}
	floors := "./bench/floors/"
	return awstest.Binaries(tb, floors+"constant", floors+"empty", floors+"forward", floors+"ssm", floors+"token")[floors+floor]
}

// A function is one process of a command.
type function struct {
	*runtimeapi.Process
	name    string
	started time.Time
	log     string // file that holds its output
}

// start runs a command from [binary] with env added to the variables that Lambda
// sets. The process is killed when tb ends.
func start(tb testing.TB, name string, env ...string) *function {
	tb.Helper()
	path := binary(tb, name)
	log, err := os.Create(filepath.Join(tb.TempDir(), "log"))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "STREAM_KEY": key, "STREAM_SECRET": secret,
		"GOMAXPROCS": "1", // as in template.yaml
	}
	for _, assignment := range env {
		name, value, _ := strings.Cut(assignment, "=")
		all[name] = value
	}
	f := &function{name: name, log: log.Name(), started: time.Now()}
	if f.Process, err = runtimeapi.Start(runtimeapi.Config{Binary: path, Name: filepath.Base(name), Env: all, Output: log}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.end)
	return f
}

// end kills the process and waits until it has exited.
func (f *function) end() {
	f.Kill()
	<-f.Ended()
}

// stream invokes the function, copies its answer to sink as it arrives, and
// returns the time from the event to the last byte.
func (f *function) stream(ctx context.Context, payload []byte, sink io.Writer) (time.Duration, error) {
	if err := f.Idle(ctx); err != nil {
		return 0, f.explain(err)
	}
	began := time.Now()
	answer, err := f.Process.Invoke(ctx, runtimeapi.Event{Payload: payload})
	if err == nil {
		_, err = io.Copy(sink, answer.Body)
	}
	return time.Since(began), f.explain(err)
}

func (f *function) explain(err error) error {
	if err != nil {
		text, _ := os.ReadFile(f.log)
		err = fmt.Errorf("%s: %w: %s", f.name, err, text)
	}
	return err
}

// invoke is [function.stream] for an answer that fits in memory.
func (f *function) invoke(tb testing.TB, payload []byte) ([]byte, time.Duration) {
	tb.Helper()
	var body bytes.Buffer
	took, err := f.stream(tb.Context(), payload, &body)
	if err != nil {
		tb.Fatal(err)
	}
	return body.Bytes(), took
}
