package bench

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"chat-service-backend/internal/issuer"
)

var (
	issuerRTT = flag.Duration("issuer-rtt", 30*time.Millisecond, "round trip to the issuer")
	ssmRTT    = flag.Duration("ssm-rtt", 8*time.Millisecond, "round trip to Parameter Store")
	other     = flag.String("other-token", "", "bootstrap of another build's token function, to compare with")
)

// BenchmarkSignIn measures the time from process start to the answer to the first user,
// with an issuer over TLS and a Parameter Store that are a round trip away, and to a later
// user once the issuer's keys are too old. service is the answer to a service, which needs
// no issuer; the floor is a function that makes the same round trips to the issuer, none to
// Parameter Store, and verifies nothing; -other-token adds another build. usual-place is an
// issuer whose keys are where most have them; metadata is any other.
//
//	go test -run '^$' -bench SignIn -benchtime 12x ./bench -issuer-rtt 80ms -other-token /path/to/bootstrap
func BenchmarkSignIn(b *testing.B) {
	for _, c := range []struct {
		name, keys string // where they are
		url        bool   // OIDC_JWKS_URL says it
	}{
		{"usual-place", "/.well-known/jwks.json", false},
		{"metadata", "/oauth/certificates", false},
		{"keys-url", "/.well-known/jwks.json", true},
	} {
		b.Run(c.name, func(b *testing.B) {
			ssm := newParameterStore(b, *ssmRTT)
			i, env := newIssuer(b, *issuerRTT)
			i.Metadata = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + c.keys}
			env = append(env, ssm.env(), "OIDC_KEY_MAX_AGE=1")
			if c.url {
				env = append(env, "OIDC_JWKS_URL="+i.URL+c.keys)
			}
			fetch := "FETCH=" + i.URL + c.keys
			if c.name == "metadata" {
				fetch = "FETCH=" + i.URL + "/.well-known/openid-configuration " + i.URL + c.keys
			}
			var e map[string]any
			if err := json.Unmarshal(event(b, "token-anonymous-http"), &e); err != nil {
				b.Fatal(err)
			}
			bearer := i.Bearer("alice", nil)
			e["headers"].(map[string]any)["authorization"] = "Bearer " + bearer
			payload, _ := json.Marshal(e)
			first := func(name string, payload []byte, more ...string) (*function, time.Duration) {
				f := start(b, name, append(more, env...)...)
				answer, _ := f.invoke(b, payload)
				took := time.Since(f.started)
				wantStatus(b, answer, 201)
				return f, took
			}
			var ours, floors, others, services, expired []time.Duration
			for b.Loop() {
				f, took := first("token", payload)
				ours = append(ours, took)
				time.Sleep(time.Second) // until the keys are too old
				_, took = f.invoke(b, payload)
				expired = append(expired, took)
				f.Stop()
				f, took = first("token", event(b, "token-user-rest"))
				services = append(services, took)
				f.Stop()
				f, took = first("floor/token", payload, fetch)
				floors = append(floors, took)
				f.Stop()
				if *other != "" {
					f, took := first(*other, payload, "GOMAXPROCS=") // which it may set itself
					others = append(others, took)
					f.Stop()
				}
			}
			report(b, "ms/first", ms(median(ours)), ms(median(floors)))
			if *other != "" {
				b.ReportMetric(ms(median(others)), "other-ms/first")
				b.ReportMetric(ms(median(ours))/ms(median(others)), "x-other-ms/first")
			}
			b.ReportMetric(ms(median(services)), "service-ms/first")
			b.ReportMetric(ms(median(expired)), "ms/expired-keys")
		})
	}
}

// newIssuer starts an issuer that is rtt away, and returns it with the environment of a
// function that trusts it.
func newIssuer(tb testing.TB, rtt time.Duration) (*issuer.Issuer, []string) {
	tb.Helper()
	i := &issuer.Issuer{Audience: "bench"}
	server := httptest.NewUnstartedServer(i)
	server.Listener = distant{server.Listener, rtt}
	server.EnableHTTP2 = true // as issuers have it
	server.StartTLS()
	tb.Cleanup(server.Close)
	i.URL = server.URL
	bundle := filepath.Join(tb.TempDir(), "roots.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return i, []string{"OIDC_ISSUER=" + i.URL, "OIDC_AUDIENCE=bench", "SSL_CERT_FILE=" + bundle, "SSL_CERT_DIR=" + os.DevNull}
}

// A distant listener is a round trip away from its clients: the first bytes of a connection
// arrive late, since they follow its handshake, and so does all that is sent to the client.
type distant struct {
	net.Listener
	rtt time.Duration
}

func (l distant) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d := &distantConn{Conn: c, rtt: l.rtt, sent: make(chan flight, 1000)}
	go d.deliver()
	return d, nil
}

type distantConn struct {
	net.Conn
	rtt    time.Duration
	begun  bool
	sent   chan flight
	mu     sync.Mutex
	closed bool
}

// A flight is on its way to the client.
type flight struct {
	due   time.Time
	bytes []byte
}

func (c *distantConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.begun {
		c.begun = true
		time.Sleep(c.rtt)
	}
	return n, err
}

func (c *distantConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.sent <- flight{time.Now().Add(c.rtt), bytes.Clone(p)}
	return len(p), nil
}

func (c *distantConn) deliver() {
	for f := range c.sent {
		time.Sleep(time.Until(f.due))
		_, _ = c.Conn.Write(f.bytes)
	}
	_ = c.Conn.Close()
}

func (c *distantConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.sent)
	}
	return c.SetReadDeadline(time.Now())
}
