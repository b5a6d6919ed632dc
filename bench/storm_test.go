package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

// A storm is the outcome of starting many processes within a second.
type storm struct {
	started time.Duration   // until the last process had started
	served  []time.Duration // from the first start to each good answer
	refused []time.Duration // to each 503 with Retry-After
	odd     []string        // any other answer
	calls   int             // calls to Parameter Store that were not throttled
	memory  []int           // of each process after its answer, in bytes
}

// play starts processes of the functions that call nothing but Parameter Store,
// and sends each one event. Parameter Store accepts perSecond calls a second,
// with a burst of the same size.
func play(tb testing.TB, processes int, perSecond float64) storm {
	tb.Helper()
	ssm := newParameterStore(tb, ssmLatency)
	ssm.limit(standin.Limit(perSecond, perSecond))
	kinds := []struct {
		function string
		payload  []byte
		status   int
	}{
		{"token", event(tb, "token-user-rest"), 201},
		{"apikey", event(tb, "apikey-rest"), 200},
		{"config", event(tb, "config-user-rest"), 200},
		{"webhook", event(tb, "webhook-message-http"), 200},
	}
	for _, kind := range kinds {
		binary(tb, kind.function)
	}
	var s storm
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for i := range processes {
		// Starts are due at a fixed rate, even if this machine cannot keep up.
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(processes))))
		wg.Go(func() {
			kind := kinds[i%len(kinds)]
			f := start(tb, kind.function, ssm.env())
			mu.Lock()
			s.started = max(s.started, time.Since(began))
			mu.Unlock()
			var body bytes.Buffer
			_, err := f.stream(tb.Context(), kind.payload, &body)
			took := time.Since(began)
			now, _ := memory(tb, f.OS.Pid)
			f.Stop()
			answer, parsed := apigateway.ReadAnswer(io.NopCloser(&body), false)
			mu.Lock()
			defer mu.Unlock()
			s.memory = append(s.memory, now)
			switch {
			case err != nil || parsed != nil:
				s.odd = append(s.odd, fmt.Sprint(kind.function, ": ", err, parsed))
			case answer.StatusCode == kind.status:
				s.served = append(s.served, took)
			case answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != "":
				s.refused = append(s.refused, took)
			default:
				text, _ := io.ReadAll(answer.Body)
				s.odd = append(s.odd, fmt.Sprintf("%s: %d %s", kind.function, answer.StatusCode, text))
			}
		})
	}
	wg.Wait()
	s.calls = int(ssm.taken.Load())
	return s
}

// Real processes, with a quarter of Parameter Store's default limit. That each makes one
// call is a figure of [BenchmarkStorm]: on a slow machine some give up on the first.
func TestStormOfStartsIsServed(t *testing.T) {
	awstest.Long(t, "40 processes that wait for Parameter Store take 15 seconds; shared/settings has the storm without processes")
	if s := play(t, 40, 10); len(s.served)+len(s.refused) != 40 || len(s.odd) > 0 {
		t.Errorf("want 40 answers, or a 503 with Retry-After, got %d, %d, others %q", len(s.served), len(s.refused), s.odd)
	}
}

// BenchmarkStorm starts many processes within a second. They share a Parameter
// Store that accepts 40 calls a second, the default of an account, or 1,000, as
// with higher throughput.
func BenchmarkStorm(b *testing.B) {
	for _, perSecond := range []float64{40, 1000} {
		for _, processes := range []int{10, 100, 240, 400, 1000} {
			b.Run(fmt.Sprintf("%d_a_second/%d_starts", int(perSecond), processes), func(b *testing.B) {
				for b.Loop() {
					s := play(b, processes, perSecond)
					for _, odd := range s.odd {
						b.Error(odd)
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(s.started.Seconds(), "s-started")
					b.ReportMetric(float64(s.calls)/float64(processes), "calls/start")
					b.ReportMetric(float64(len(s.served)), "served")
					b.ReportMetric(median(s.served).Seconds(), "s-median")
					b.ReportMetric(quantile(s.served, 1).Seconds(), "s-last")
					b.ReportMetric(float64(len(s.refused)), "refused")
					b.ReportMetric(quantile(s.refused, 1).Seconds(), "s-last-refused")
				}
			})
		}
	}
}

// BenchmarkParallelStarts starts processes of one function at the same time,
// without a limit on Parameter Store: it shows how they slow each other down on
// one machine.
func BenchmarkParallelStarts(b *testing.B) {
	for _, processes := range []int{1, 10, 100, 200} {
		b.Run(fmt.Sprint(processes), func(b *testing.B) {
			ssm := newParameterStore(b, ssmLatency)
			payload := event(b, "token-user-rest")
			binary(b, "token")
			for b.Loop() {
				var mu sync.Mutex
				var wg, answered sync.WaitGroup
				var took []time.Duration
				var resident, own int
				answered.Add(processes)
				for range processes {
					wg.Go(func() {
						f := start(b, "token", ssm.env())
						answer, _ := f.invoke(b, payload)
						first := time.Since(f.started)
						wantStatus(b, answer, 201)
						answered.Done()
						answered.Wait() // shared memory can be told apart only while all are running
						now, _ := memory(b, f.OS.Pid)
						share := proportional(b, f.OS.Pid)
						mu.Lock()
						took, resident, own = append(took, first), resident+now, own+share
						mu.Unlock()
						answered.Wait()
						f.Stop()
					})
				}
				wg.Wait()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(ms(median(took)), "ms-median")
				b.ReportMetric(ms(quantile(took, 1)), "ms-last")
				b.ReportMetric(float64(resident)/float64(processes)/(1<<20), "MB-rss")
				b.ReportMetric(float64(own)/float64(processes)/(1<<20), "MB-pss")
			}
		})
	}
}
