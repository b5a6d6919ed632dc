package bench

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The credentials of the app, with which the sample events are signed.
const (
	key    = "local-key"
	secret = "local-secret-for-development-only"
)

// A parameterStore stands in for SSM Parameter Store. It counts its calls, and
// how long it took over them, which is what a caller waits for and not what the
// caller costs.
type parameterStore struct {
	*httptest.Server
	conns   *connections
	latency time.Duration // of each call
	empty   atomic.Bool   // no parameter exists
	calls   atomic.Int64

	mu    sync.Mutex
	busy  int           // calls that are being answered
	since time.Time     // when busy was last 0
	spent time.Duration // with at least one call
}

func newParameterStore(tb testing.TB, latency time.Duration) *parameterStore {
	s := &parameterStore{latency: latency}
	s.Server = httptest.NewUnstartedServer(s)
	s.conns = watch(s.Config)
	s.Start()
	tb.Cleanup(s.Close)
	return s
}

// env is what points a function to the store.
func (s *parameterStore) env() string { return "AWS_ENDPOINT_URL_SSM=" + s.URL }

func (s *parameterStore) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy++; s.busy == 1 {
		s.since = time.Now()
	}
}

func (s *parameterStore) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy--; s.busy == 0 {
		s.spent += time.Since(s.since)
	}
}

// took is for how long callers have waited for an answer, calls at the same
// time counted once.
func (s *parameterStore) took() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spent
}

type parameter struct{ Name, Type, Value string }

var parameters = []parameter{
	{"/chat-service/stream/api-key", "String", key},
	{"/chat-service/stream/api-secret", "SecureString", secret},
	{"/chat-service/client-config/web", "String", `{"theme":{"name":"light","accent":"#005fff"},"features":{"reactions":true,"threads":true},"maxMessageLength":5000}`},
	{"/chat-service/client-config/mobile", "String", `{"theme":{"name":"system"},"pushProvider":"firebase"}`},
}

func (s *parameterStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	s.begin()
	defer s.end()
	var in struct {
		Names []string
		Path  string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := struct {
		Parameters        []parameter
		InvalidParameters []string
	}{Parameters: []parameter{}, InvalidParameters: []string{}}
	known := parameters
	if s.empty.Load() {
		known = nil
	}
	for _, p := range known {
		if in.Path != "" && strings.HasPrefix(p.Name, in.Path+"/") {
			out.Parameters = append(out.Parameters, p)
		}
	}
names:
	for _, name := range in.Names {
		for _, p := range known {
			if p.Name == name {
				out.Parameters = append(out.Parameters, p)
				continue names
			}
		}
		out.InvalidParameters = append(out.InvalidParameters, name)
	}
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if s.latency > 0 {
		time.Sleep(s.latency)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Write(body)
}
