package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A function is one process under a Lambda Runtime API of its own.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type function struct {
	name    string
	cmd     *exec.Cmd
	started time.Time
	log     string // file of what it writes

	polled chan struct{} // it waits for an event
	work   chan *invocation
	gone   chan struct{}

	current atomic.Pointer[invocation]
}

type invocation struct {
	id      string
	payload []byte
	sink    io.Writer // takes the answer as it arrives
	done    chan error
}

// start starts a command of [binary] with env besides what Lambda sets. It ends
// with tb.
func start(tb testing.TB, name string, env ...string) *function {
	tb.Helper()
	path := binary(tb, name)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	log, err := os.Create(filepath.Join(tb.TempDir(), "log"))
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	f := &function{
		name:   name,
		log:    log.Name(),
		polled: make(chan struct{}, 1),
		work:   make(chan *invocation),
		gone:   make(chan struct{}),
	}
	api := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	go api.Serve(listener)

	f.cmd = exec.Command(path)
	f.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=" + filepath.Base(name),
		"AWS_REGION=eu-central-1",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY=example",
		"STREAM_KEY=" + key,
		"STREAM_SECRET=" + secret,
	}, env...)
	f.cmd.Stdout, f.cmd.Stderr = log, log
	f.started = time.Now()
	if err := f.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		f.cmd.Wait()
		api.Close()
		close(f.gone)
	}()
	tb.Cleanup(f.end)
	return f
}

// end ends the process and waits for that.
func (f *function) end() {
	f.cmd.Process.Kill()
	<-f.gone
}

// ServeHTTP is the Runtime API.
func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/2018-06-01/runtime/invocation/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	if rest == "next" {
		f.next(w, r)
		return
	}
	id, what, _ := strings.Cut(rest, "/")
	inv := f.current.Swap(nil)
	if inv == nil || inv.id != id {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	var err error
	switch what {
	case "response":
		if _, err = io.Copy(inv.sink, r.Body); err == nil {
			if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
				err = errors.New("the answer broke off: " + kind)
			}
		}
	default:
		text, _ := io.ReadAll(r.Body)
		err = fmt.Errorf("the function failed: %s", text)
	}
	inv.done <- err
	w.WriteHeader(http.StatusAccepted)
}

func (f *function) next(w http.ResponseWriter, r *http.Request) {
	f.polled <- struct{}{}
	select {
	case inv := <-f.work:
		f.current.Store(inv)
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
		w.Header().Set("Content-Length", strconv.Itoa(len(inv.payload)))
		w.Write(inv.payload)
	case <-r.Context().Done():
	}
}

var lastID atomic.Int64

// stream invokes the function, hands its answer to sink as it arrives, and
// returns how long that took from the event to the last byte.
func (f *function) stream(ctx context.Context, payload []byte, sink io.Writer) (time.Duration, error) {
	if err := f.idle(ctx); err != nil {
		return 0, err
	}
	inv := &invocation{
		id:      strconv.FormatInt(lastID.Add(1), 10),
		payload: payload,
		sink:    sink,
		done:    make(chan error, 1),
	}
	began := time.Now()
	select {
	case f.work <- inv:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	select {
	case err := <-inv.done:
		return time.Since(began), err
	case <-f.gone:
		text, _ := os.ReadFile(f.log)
		return 0, fmt.Errorf("%s ended: %s", f.name, text)
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// idle returns once the function waits for an event, that is, where Lambda may
// stop it.
func (f *function) idle(ctx context.Context) error {
	select {
	case <-f.polled:
		return nil
	case <-f.gone:
		text, _ := os.ReadFile(f.log)
		return fmt.Errorf("%s ended: %s", f.name, text)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
