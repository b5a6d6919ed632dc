package bench

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// BenchmarkProxy measures answers of 1 KB and 1 MB through the proxy and through
// the smallest function that forwards.
func BenchmarkProxy(b *testing.B) {
	for _, protocol := range protocols {
		for _, size := range []struct {
			name  string
			bytes int
		}{{"1KB", 1 << 10}, {"1MB", 1 << 20}} {
			b.Run(protocol+"/"+size.name, func(b *testing.B) {
				ours, floor, _ := startProxies(b, protocol)
				payload := proxyEvent(b, "GET", fmt.Sprintf("/size/%d", size.bytes), "")
				for _, f := range []*function{ours, floor} {
					answer, _ := f.invoke(b, payload)
					if got := len(body(answer)); got != size.bytes {
						b.Fatalf("%s: want %d bytes, got %d: %.300s", f.name, size.bytes, got, answer)
					}
				}
				measureBoth(b, ours, floor, payload, payload)
			})
		}
	}
}

// startProxies starts the proxy and its floor in front of the same upstream.
func startProxies(b *testing.B, protocol string) (ours, floor *function, upstream *streamChat) {
	b.Helper()
	ssm := newParameterStore(b, 0)
	upstream = newStreamChat(b, protocol)
	env := append(upstream.env(), ssm.env())
	return start(b, "proxy", env...), start(b, "floor/forward", env...), upstream
}

// delimiter separates a streamed answer's status from its body.
var delimiter = make([]byte, 8)

// body returns what follows the delimiter.
func body(answer []byte) []byte {
	_, body, _ := bytes.Cut(answer, delimiter)
	return body
}

// BenchmarkProxyFirstByte measures how long the first byte of an answer takes from
// Stream to the Runtime API while the rest of the answer is still to come.
func BenchmarkProxyFirstByte(b *testing.B) {
	for _, protocol := range protocols {
		b.Run(protocol, func(b *testing.B) {
			ours, floor, upstream := startProxies(b, protocol)
			payload := proxyEvent(b, "GET", "/first", "")
			measure := func(f *function) time.Duration {
				sink := &firstByte{goOn: upstream.goOn}
				if _, err := f.stream(b.Context(), payload, sink); err != nil {
					b.Fatal(err)
				}
				return sink.at.Sub(<-upstream.sent)
			}
			measure(ours)
			measure(floor)
			var oursTook, floorTook []time.Duration
			for b.Loop() {
				oursTook = append(oursTook, measure(ours))
				floorTook = append(floorTook, measure(floor))
			}
			report(b, "µs/first-byte", us(median(oursTook)), us(median(floorTook)))
			b.ReportMetric(us(quantile(oursTook, 0.99)), "µs/first-byte-p99")
		})
	}
}

// A firstByte reads an answer, records when its body begins, and then lets Stream
// send the rest.
type firstByte struct {
	seen bytes.Buffer
	at   time.Time
	goOn chan<- struct{}
}

func (f *firstByte) Write(p []byte) (int, error) {
	f.seen.Write(p)
	if f.at.IsZero() && len(body(f.seen.Bytes())) > 0 {
		f.at = time.Now()
		f.goOn <- struct{}{}
	}
	return len(p), nil
}

// BenchmarkProxyPass passes 150 MB through a process that has served one small
// request, and measures its CPU time and how far its resident memory grows.
func BenchmarkProxyPass(b *testing.B) {
	const megabytes = 150
	for _, protocol := range protocols {
		b.Run(protocol, func(b *testing.B) {
			var oursMemory, floorMemory, oursCPU, floorCPU, oursTook, floorTook float64
			small := proxyEvent(b, "GET", "/size/1024", "")
			large := proxyEvent(b, "GET", fmt.Sprintf("/pass/%d", megabytes<<20), "")
			for b.Loop() {
				ours, floor, _ := startProxies(b, protocol)
				measure := func(f *function) (memoryMB, cpuMS, tookMS float64) {
					pid := f.OS.Pid
					f.invoke(b, small)
					if err := f.Idle(b.Context()); err != nil {
						b.Fatal(err)
					}
					forgetPeak(b, pid)
					idle, _ := memory(b, pid)
					used := cpu(b, pid)
					var passed count
					took, err := f.stream(b.Context(), large, &passed)
					if err != nil || passed < megabytes<<20 {
						b.Fatalf("%s: want %d MB, got %d bytes, error %v", f.name, megabytes, passed, err)
					}
					used = cpu(b, pid) - used
					_, peak := memory(b, pid)
					return float64(peak-idle) / (1 << 20), ms(used), ms(took)
				}
				m, c, t := measure(ours)
				oursMemory, oursCPU, oursTook = max(oursMemory, m), oursCPU+c, oursTook+t
				m, c, t = measure(floor)
				floorMemory, floorCPU, floorTook = max(floorMemory, m), floorCPU+c, floorTook+t
				ours.Stop()
				floor.Stop()
			}
			n := float64(b.N) * megabytes
			report(b, "ms/MB", oursTook/n, floorTook/n)
			report(b, "ms-cpu/MB", oursCPU/n, floorCPU/n)
			report(b, "MB-over-idle", oursMemory, floorMemory)
		})
	}
}
