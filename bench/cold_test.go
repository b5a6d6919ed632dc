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
// SSM's own response time. token-tls calls SSM over TLS and reads the system's
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
			token := event(b, "token-user-rest")
			binary(b, c.function)
			binary(b, "floor/token")
			var ours, floor, empty, oursCPU, floorCPU []time.Duration
			for b.Loop() {
				f := start(b, "floor/token")
				answer, _ := f.invoke(b, token)
				floor = append(floor, time.Since(f.started))
				floorCPU = append(floorCPU, cpu(b, f.OS.Pid))
				f.end()
				wantStatus(b, answer, 201)

				spent := ssm.took()
				f = start(b, c.function, env...)
				answer, _ = f.invoke(b, payload)
				took := time.Since(f.started)
				oursCPU = append(oursCPU, cpu(b, f.OS.Pid))
				f.end()
				ours = append(ours, took-(ssm.took()-spent))
				if !bytes.Contains(answer, []byte(c.want)) || c.event == "" && len(body(answer)) != 1024 {
					b.Fatalf("want an answer with %s, got %.300s", c.want, answer)
				}

				f = start(b, "floor/empty")
				f.invoke(b, token)
				empty = append(empty, time.Since(f.started))
				f.end()
			}
			report(b, "ms/start", ms(median(ours)), ms(median(floor)))
			report(b, "ms-p99/start", ms(quantile(ours, 0.99)), ms(quantile(floor, 0.99)))
			b.ReportMetric(ms(median(empty)), "empty-ms/start")
			report(b, "ms-cpu/start", ms(median(oursCPU)), ms(median(floorCPU)))
			b.ReportMetric(float64(ssm.calls.Load())/float64(len(ours)), "ssm-calls/start")
		})
	}
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
