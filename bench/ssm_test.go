package bench

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
)

// The app's credentials; the sample events are signed with them.
const (
	key    = "local-key"
	secret = "local-secret-for-development-only"
)

// A parameterStore counts the calls to it and measures how long it takes to
// answer: callers spend that time waiting, so it does not count as theirs.
type parameterStore struct {
	*httptest.Server
	*parameterstore.Memory
	conns *connections
	calls atomic.Int64
	taken atomic.Int64 // calls that were not throttled
	limit func(standin.Fault)

	mu    sync.Mutex
	busy  int           // calls in progress
	since time.Time     // when busy last rose from 0
	spent time.Duration // time with at least one call in progress
}

// newParameterStore starts a store that takes latency to answer each call.
func newParameterStore(tb testing.TB, latency time.Duration) *parameterStore {
	values := awstest.App(key, secret)
	values["/chat-service/client-config/web"] = `{"theme":{"name":"light","accent":"#005fff"},"features":{"reactions":true,"threads":true},"maxMessageLength":5000}`
	values["/chat-service/client-config/mobile"] = `{"theme":{"name":"system"},"pushProvider":"firebase"}`
	s := &parameterStore{Memory: parameterstore.NewMemory(values)}
	store := &parameterstore.Store{Values: s.Values, Asked: func(...string) { s.taken.Add(1) }}
	s.limit = store.Fault.Set
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.begin()
		defer s.end()
		time.Sleep(latency)
		store.ServeHTTP(w, r)
	}))
	s.conns = watch(s.Config)
	s.Start()
	tb.Cleanup(s.Close)
	return s
}

// overTLS serves the store over TLS as well and returns more with the environment
// that points a function to it. The bundle it names also holds the system's
// certificates, so that a function parses all of them.
func (s *parameterStore) overTLS(tb testing.TB, more ...string) []string {
	tb.Helper()
	secure := httptest.NewTLSServer(s.Config.Handler)
	tb.Cleanup(secure.Close)
	roots, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		tb.Skip("no system certificates at /etc/ssl/certs/ca-certificates.crt")
	}
	bundle := filepath.Join(tb.TempDir(), "roots.pem")
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(bundle, append(roots, own...), 0o600); err != nil {
		tb.Fatal(err)
	}
	return append(more, "AWS_ENDPOINT_URL_SSM="+secure.URL, "SSL_CERT_FILE="+bundle)
}

// env returns the variable that points a function to the store.
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

// took returns how long callers have waited for answers; concurrent calls count
// once.
func (s *parameterStore) took() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spent
}
