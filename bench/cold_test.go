package bench

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// ssmLatency is roughly what a call to SSM takes within a region. The time that
// the stand-in measures is subtracted from the results.
const ssmLatency = 5 * time.Millisecond

// BenchmarkColdStart measures the time from process start to first answer, minus
// SSM's own response time, beside two floors: floors/token, which finds its secret
// in the environment and calls nobody, and like, which makes the calls that ours
// makes with as little code as possible: floors/ssm to SSM, floors/forward to
// Stream. token-tls calls SSM over TLS and reads the system's
// certificate bundle, as on AWS; token-tls-folders also reads the certificate
// directories, which is Go's default; webhook-bus publishes its event on a bus,
// as deployed.
func BenchmarkColdStart(b *testing.B) {
	for _, c := range []struct{ name, function, event, want string }{
		{"token", "token", "token-user-rest", `"statusCode":201`},
		{"token-tls", "token", "token-user-rest", `"statusCode":201`},
		{"token-tls-folders", "token", "token-user-rest", `"statusCode":201`},
		{"apikey", "apikey", "apikey-rest", `"statusCode":200`},
		{"config", "config", "config-user-rest", "userToken"},
		{"webhook", "webhook", "webhook-verify-rest", "isValid"},
		{"webhook-bus", "webhook", "webhook-message-rest", `"statusCode":200`},
		{"proxy", "proxy", "", `"statusCode":200`},
	} {
		b.Run(c.name, func(b *testing.B) {
			ssm := newParameterStore(b, ssmLatency)
			upstream := newStreamChat(b, "h2")
			env := append(upstream.env(), ssm.env())
			switch c.name {
			case "token-tls":
				env = ssm.overTLS(b, "SSL_CERT_DIR="+os.DevNull) // as lambdahttp does on Amazon Linux
			case "token-tls-folders":
				env = ssm.overTLS(b)
			case "webhook-bus":
				env = append(env, busEnv(b)...)
			}
			payload := proxyEvent(b, "GET", "/size/1024", "")
			if c.event != "" {
				payload = event(b, c.event)
			}
			like, likePayload := "floor/ssm", event(b, "token-user-rest")
			if c.function == "proxy" {
				like, likePayload = "floor/forward", payload
			}
			ours, floor, likes, empty := new(starts), new(starts), new(starts), new(starts)
			for b.Loop() {
				wantStatus(b, floor.add(b, ssm, "floor/token", event(b, "token-user-rest")), 201)
				answer := ours.add(b, ssm, c.function, payload, env...)
				if !bytes.Contains(answer, []byte(c.want)) || c.event == "" && len(body(answer)) != 1024 {
					b.Fatalf("want an answer with %s, got %.300s", c.want, answer)
				}
				if answer := likes.add(b, ssm, like, likePayload, env...); !bytes.Contains(answer, []byte(`"statusCode":20`)) {
					b.Fatalf("want an answer of %s, got %.300s", like, answer)
				}
				empty.add(b, ssm, "floor/empty", payload)
			}
			report(b, "ms/start", ms(median(ours.took)), ms(median(floor.took)))
			report(b, "ms-p99/start", ms(quantile(ours.took, 0.99)), ms(quantile(floor.took, 0.99)))
			report(b, "ms-cpu/start", ms(median(ours.cpu)), ms(median(floor.cpu)))
			b.ReportMetric(ms(median(empty.took)), "empty-ms/start")
			b.ReportMetric(ms(median(ours.took))/ms(median(likes.took)), "x-like-ms/start")
			b.ReportMetric(ms(median(ours.cpu))/ms(median(likes.cpu)), "x-like-ms-cpu/start")
			b.ReportMetric(float64(ours.calls)/float64(len(ours.took)), "ssm-calls/start")
		})
	}
}

// starts are the starts of one function.
type starts struct {
	took, cpu []time.Duration
	calls     int64 // to SSM
}

// add starts a function, has it answer one event, and ends it.
func (s *starts) add(b *testing.B, ssm *parameterStore, name string, payload []byte, env ...string) []byte {
	spent, calls := ssm.took(), ssm.calls.Load()
	f := start(b, name, env...)
	answer, _ := f.invoke(b, payload)
	s.calls += ssm.calls.Load() - calls
	s.took = append(s.took, time.Since(f.started)-(ssm.took()-spent))
	s.cpu = append(s.cpu, cpu(b, f.OS.Pid))
	f.Stop()
	return answer
}

// BenchmarkArrivals schedules 100 requests a second, whether or not the previous
// answer has arrived, and measures each from the time it was due. One process
// handles one request at a time, as on Lambda.
func BenchmarkArrivals(b *testing.B) {
	for _, c := range []struct{ name, event string }{{"token", "token-user-rest"}, {"webhook", "webhook-message-rest"}} {
		b.Run(c.name, func(b *testing.B) {
			const requests, gap = 500, 10 * time.Millisecond
			ssm := newParameterStore(b, 0)
			env := []string{ssm.env()}
			if c.name == "webhook" {
				env = append(env, busEnv(b)...)
			}
			payload := event(b, c.event)
			ours, floor := start(b, c.name, env...), start(b, "floor/constant")
			measure := func(f *function) (took []time.Duration) {
				began := time.Now()
				for i := range requests {
					due := began.Add(time.Duration(i) * gap)
					time.Sleep(time.Until(due))
					f.invoke(b, payload)
					took = append(took, time.Since(due))
				}
				return took
			}
			for b.Loop() {
				mine, least := measure(ours), measure(floor)
				report(b, "µs/req", us(median(mine)), us(median(least)))
				report(b, "µs-p99/req", us(quantile(mine, 0.99)), us(quantile(least, 0.99)))
			}
		})
	}
}
