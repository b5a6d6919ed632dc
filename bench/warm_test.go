package bench

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
)

// BenchmarkWarm measures requests to a running function and to one that returns a
// constant for the same event.
func BenchmarkWarm(b *testing.B) {
	for _, c := range []struct {
		name, function, event string
		status                int
		want                  string
	}{
		{"token", "token", "token-user-rest", 201, `"token":"ey`},
		{"config", "config", "config-user-rest", 200, `"userToken":"ey`},
		{"verify", "webhook", "webhook-verify-rest", 200, `{"isValid":true}`},
		{"apikey", "apikey", "apikey-rest", 200, `"api_key":"`},
		{"webhook", "webhook", "webhook-message-rest", 200, `{}`},
		// As deployed: the answer waits for EventBridge.
		{"webhook-bus", "webhook", "webhook-message-rest", 200, `{}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			ssm := newParameterStore(b, 0)
			env := []string{ssm.env()}
			if c.name == "webhook-bus" {
				env = append(env, busEnv(b)...)
			}
			ours := start(b, c.function, env...)
			floor := start(b, "floor/constant")
			payload := event(b, c.event)
			answer, _ := ours.invoke(b, payload)
			if body := wantStatus(b, answer, c.status); !strings.Contains(body, c.want) {
				b.Fatalf("want %s in the answer, got %s", c.want, body)
			}
			measureBoth(b, ours, floor, payload, payload)
		})
	}

	// Compared with the same answer to a caller that API Gateway has verified.
	b.Run("token-bearer", func(b *testing.B) {
		issuer := awstest.NewIssuer(b)
		ssm := newParameterStore(b, 0)
		ours := start(b, "token", ssm.env(), "OIDC_ISSUER="+issuer.URL, "OIDC_AUDIENCE="+awstest.Audience)
		floor := start(b, "token", ssm.env())
		r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
		encode := func(event any) []byte {
			payload, err := json.Marshal(event)
			if err != nil {
				b.Fatal(err)
			}
			return payload
		}
		verified := encode(awstest.ServiceEvent(b, r, "/token/{userId}"))
		r.Header.Set("Authorization", issuer.Bearer("alice", nil))
		payload := encode(awstest.ClientEvent(b, r, "/token/{userId}"))
		answer, _ := ours.invoke(b, payload)
		wantStatus(b, answer, http.StatusCreated)
		measureBoth(b, ours, floor, payload, verified)
	})
}

// busEnv returns the environment that makes webhook publish to a stand-in for
// EventBridge.
func busEnv(b *testing.B) (env []string) {
	for name, value := range awstest.NewEventBus(b).Env(nil) {
		env = append(env, name+"="+value)
	}
	return env
}

// measureBoth invokes ours and floor in turn, each with its payload, and reports
// latency and CPU time per request, and resident memory.
func measureBoth(b *testing.B, ours, floor *function, payload, floorPayload []byte) {
	b.Helper()
	for range 50 { // let connections, caches and the heap settle
		ours.invoke(b, payload)
		floor.invoke(b, floorPayload)
	}
	oursCPU, floorCPU := cpu(b, ours.OS.Pid), cpu(b, floor.OS.Pid)
	var oursTook, floorTook []time.Duration
	for b.Loop() {
		_, took := ours.invoke(b, payload)
		oursTook = append(oursTook, took)
		_, took = floor.invoke(b, floorPayload)
		floorTook = append(floorTook, took)
	}
	oursCPU, floorCPU = cpu(b, ours.OS.Pid)-oursCPU, cpu(b, floor.OS.Pid)-floorCPU
	n := float64(len(oursTook))
	report(b, "µs/req", us(median(oursTook)), us(median(floorTook)))
	report(b, "µs-p99/req", us(quantile(oursTook, 0.99)), us(quantile(floorTook, 0.99)))
	report(b, "µs-cpu/req", us(oursCPU)/n, us(floorCPU)/n)
	oursMemory, _ := memory(b, ours.OS.Pid)
	floorMemory, _ := memory(b, floor.OS.Pid)
	report(b, "MB-rss", float64(oursMemory)/(1<<20), float64(floorMemory)/(1<<20))
}
