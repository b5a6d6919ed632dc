package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chat-service-backend/deploy/build"
	"chat-service-backend/internal/runtimeapi"
)

// functions are the names of all functions.
func functions(tb testing.TB) (names []string) {
	tb.Helper()
	root, err := build.Root()
	if err != nil {
		tb.Fatal(err)
	}
	folders, _ := filepath.Glob(filepath.Join(root, "functions", "*"))
	for _, folder := range folders {
		names = append(names, filepath.Base(folder))
	}
	return names
}

// built are the commands of this run, by name.
var (
	built    = map[string]string{}
	building sync.Mutex
)

// binary returns a command built as for a deployment, but for this machine: one of the
// functions, floor/<name>, or an absolute path.
func binary(tb testing.TB, name string) string {
	tb.Helper()
	building.Lock()
	defer building.Unlock()
	if filepath.IsAbs(name) || built[name] != "" {
		return cmp.Or(built[name], name)
	}
	pkg := build.Function(name)
	if floor, ok := strings.CutPrefix(name, "floor/"); ok {
		pkg = "./bench/floors/" + floor
	}
	root, err := build.Root()
	cache, err2 := os.UserCacheDir()
	if err := errors.Join(err, err2); err != nil {
		tb.Fatal(err)
	}
	binaries, err := build.Commands(tb.Context(), root, filepath.Join(cache, "chat-service-backend", "bench", filepath.Dir(name)), build.Host, pkg)
	if err != nil {
		tb.Fatal(err)
	}
	built[name] = binaries[pkg]
	return built[name]
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
	if f.Process, err = runtimeapi.Start(path, all, log); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		f.Stop()
		log.Close()
	})
	return f
}

// stream invokes the function, copies its answer to sink as it arrives, and
// returns the time from the event to the last byte.
func (f *function) stream(ctx context.Context, payload []byte, sink io.Writer) (time.Duration, error) {
	if err := f.Idle(ctx); err != nil {
		return 0, f.explain(err)
	}
	began := time.Now()
	answer, err := f.Process.Invoke(ctx, payload)
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
