package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
)

// BenchmarkEvent verifies an event of 4 KB and sends it to a bus over the loopback
// interface. cpu-µs/op is the CPU time of this process, which includes the bus's
// share. The budget is 2 ms.
func BenchmarkEvent(b *testing.B) {
	const answer = `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`
	loopback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
	b.Cleanup(loopback.Close)
	environment := awstest.NewEventBus(b).Env(map[string]string{"AWS_ENDPOINT_URL_EVENTBRIDGE": loopback.URL})
	h := awstest.Handler(b, Build, awstest.NewParameterStore(b, awstest.App(key, secret)).Getenv(environment))
	body := `{"type":"message.new","message":{"text":"` + strings.Repeat(`hello \"world\" `, 270) + `"}}`
	for name, newRequest := range map[string]func(string) *http.Request{"plain": webhook, "gzip": compressedWebhook} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			// Signing and compressing is Stream's work.
			from := newRequest(body)
			sent, err := io.ReadAll(from.Body)
			if err != nil {
				b.Fatal(err)
			}
			before := cpuTime(b)
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(sent))
				r.Header = from.Header
				if response := awstest.Do(h, r); response.StatusCode != http.StatusOK {
					b.Fatalf("want status 200, got %d", response.StatusCode)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkUnsigned verifies 8 KB of gzip that nobody has signed. The budget is 2 ms.
func BenchmarkUnsigned(b *testing.B) {
	h := awstest.Handler(b, Build, awstest.NewParameterStore(b, awstest.App(key, secret)).Getenv(nil))
	for name, plain := range map[string]int{"bomb": 8 << 20, "as large as can be": 512 << 10} {
		b.Run(name, func(b *testing.B) {
			body := compress(strings.Repeat(" ", plain))
			forged := sign("another", "")
			before := cpuTime(b)
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body))
				r.Header.Set("X-Signature", forged)
				r.Header.Set("X-Api-Key", key)
				if response := awstest.Do(h, r); !slices.Contains([]int{400, 401, 413}, response.StatusCode) {
					b.Fatalf("want it refused, got %d", response.StatusCode)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
