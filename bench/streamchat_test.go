package bench

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A streamChat stands in for Stream's REST API.
//
//	/size/{bytes}   an answer of that many bytes
//	/pass/{bytes}   the same in chunks of 32 KB, without Content-Length
//	/first          one byte, then the rest on a signal from goOn
//	/once           counts requests by body
type streamChat struct {
	*httptest.Server
	cert string // certificate file to trust, with TLS

	sent chan time.Time // when the first byte of /first went out
	goOn chan struct{}

	conns   *connections
	goodbye atomic.Bool // each answer of /once announces that the connection will close

	mu     sync.Mutex
	posted map[string]int // number of requests by body
}

// protocols are the ways to reach Stream.
var protocols = []string{"h1", "h1-tls", "h2"}

func newStreamChat(tb testing.TB, protocol string) *streamChat {
	s := &streamChat{
		sent:   make(chan time.Time, 1),
		goOn:   make(chan struct{}, 1),
		posted: make(map[string]int),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/size/{bytes}", s.size)
	mux.HandleFunc("/pass/{bytes}", s.pass)
	mux.HandleFunc("/first", s.first)
	mux.HandleFunc("/once", s.once)
	s.Server = httptest.NewUnstartedServer(mux)
	s.conns = watch(s.Config)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // broken connections are expected here
	switch protocol {
	case "h1":
		s.Start()
	case "h1-tls":
		s.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
		s.StartTLS()
	case "h2":
		s.EnableHTTP2 = true
		s.StartTLS()
	default:
		tb.Fatalf("want one of %q, got %q", protocols, protocol)
	}
	tb.Cleanup(s.Close)
	if c := s.Certificate(); c != nil {
		s.cert = filepath.Join(tb.TempDir(), "cert.pem")
		if err := os.WriteFile(s.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// env returns the variables that point a function to s. They make it trust one
// certificate and skip the system's, which can take 20 ms to read.
func (s *streamChat) env() []string {
	return []string{"STREAM_BASE_URL=" + s.URL, "SSL_CERT_FILE=" + s.cert, "SSL_CERT_DIR=" + s.cert}
}

var filler = bytes.Repeat([]byte(`{"id":"alice"},`), 1<<20/15+1)

// number returns {bytes} from the path.
func number(r *http.Request) int {
	n, _ := strconv.Atoi(r.PathValue("bytes"))
	return n
}

func (s *streamChat) size(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	n := number(r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.Write(filler[:n])
}

func (s *streamChat) pass(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	for n := number(r); n > 0; n -= 32 << 10 {
		if _, err := w.Write(filler[:min(n, 32<<10)]); err != nil {
			return
		}
	}
}

func (s *streamChat) first(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte("{"))
	s.sent <- time.Now()
	http.NewResponseController(w).Flush()
	select {
	case <-s.goOn:
	case <-r.Context().Done():
	}
	w.Write([]byte("}"))
}

// once answers with 32 KB, enough that HTTP/2 sends flow-control frames after the
// last byte.
func (s *streamChat) once(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.posted[string(body)]++
	s.mu.Unlock()
	if s.goodbye.Load() {
		w.Header().Set("Connection", "close") // in HTTP/2, a GOAWAY frame
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	w.Write(filler[:32<<10])
}

// times returns how often a body has been posted.
func (s *streamChat) times(body string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posted[body]
}
