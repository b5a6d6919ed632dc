package bench

import (
	"testing"
	"time"
)

// ssmLatency is about what a call to SSM takes within a region. It is taken off
// again, as measured by the stand-in.
const ssmLatency = 5 * time.Millisecond

// BenchmarkColdStart measures from the start of the process to its first
// answer, less the time that SSM took to answer.
func BenchmarkColdStart(b *testing.B) {
	for _, name := range []string{"token", "apikey", "config", "webhook", "proxy"} {
		b.Run(name, func(b *testing.B) {
			ssm := newParameterStore(b, ssmLatency)
			upstream := newStreamChat(b, "h2")
			payload, status := event(b, "token-user-rest"), 201
			switch name {
			case "apikey":
				payload, status = event(b, "apikey-rest"), 200
			case "config":
				payload, status = event(b, "config-user-rest"), 200
			case "webhook":
				payload, status = event(b, "webhook-verify-rest"), 200
			case "proxy":
				payload = proxyEvent(b, "GET", "/size/1024", "")
			}
			token := event(b, "token-user-rest")
			binary(b, name)
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
				f = start(b, name, append(upstream.env(), ssm.env())...)
				answer, _ = f.invoke(b, payload)
				took := time.Since(f.started)
				oursCPU = append(oursCPU, cpu(b, f.OS.Pid))
				f.end()
				ours = append(ours, took-(ssm.took()-spent))
				if name != "proxy" {
					wantStatus(b, answer, status)
				}

				f = start(b, "floor/empty")
				f.invoke(b, token)
				empty = append(empty, time.Since(f.started))
				f.end()
			}
			report(b, "ms/start", ms(median(ours)), ms(median(floor)))
			b.ReportMetric(ms(median(empty)), "empty-ms/start")
			report(b, "ms-cpu/start", ms(median(oursCPU)), ms(median(floorCPU)))
			b.ReportMetric(float64(ssm.calls.Load())/float64(len(ours)), "ssm-calls/start")
		})
	}
}
