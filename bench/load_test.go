package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"chat-service-backend/internal/awstest"
)

const callers = 100

// BenchmarkLoad has 100 callers use the development server, and so the real
// binaries, for LOAD (a duration, default 5s) after a warm-up of the same length,
// in which processes start and heaps grow. Each answer must be for its own caller.
func BenchmarkLoad(b *testing.B) {
	duration, err := time.ParseDuration(os.Getenv("LOAD"))
	if err != nil {
		duration = 5 * time.Second
	}
	local := awstest.NewDevServer(b, nil)
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	b.Cleanup(transport.CloseIdleConnections)
	for _, route := range []string{"token", "config", "proxy", "api-key", "mixed"} {
		b.Run(route, func(b *testing.B) {
			call := func(caller, id string, n int) error {
				if route == "mixed" {
					route := []string{"token", "config", "proxy", "api-key"}[n%4]
					return callRoute(transport, local.Client, local.Service, route, caller, id)
				}
				return callRoute(transport, local.Client, local.Service, route, caller, id)
			}
			for b.Loop() {
				load(b.Context(), duration, call)
				before := treeMemory(b, local.PID)
				took, failures := load(b.Context(), duration, call)
				after := treeMemory(b, local.PID)
				for _, err := range failures[:min(len(failures), 5)] {
					b.Log(err)
				}
				p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(len(took))/duration.Seconds(), "req/s")
				b.ReportMetric(ms(p50), "ms-p50")
				b.ReportMetric(ms(p99), "ms-p99")
				b.ReportMetric(float64(p99)/float64(p50), "x-p50-p99")
				b.ReportMetric(float64(len(failures)), "errors")
				b.ReportMetric(float64(before)/(1<<20), "MB-rss")
				b.ReportMetric(float64(after-before)/(1<<20), "MB-rss-growth")
			}
		})
	}
}

// load has all callers call for d, and returns how long each answer took and the
// errors. id is unique to each call: n counts the calls of one caller.
func load(ctx context.Context, d time.Duration, call func(caller, id string, n int) error) (took []time.Duration, failures []error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			caller := fmt.Sprintf("caller-%d", i)
			for n := i; ctx.Err() == nil; n++ {
				began := time.Now()
				err := call(caller, fmt.Sprintf("%s-%d", caller, n), n)
				d := time.Since(began)
				mu.Lock()
				took = append(took, d)
				if err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return took, failures
}

// callRoute makes one call. An answer without this call's id belongs to another
// call. It renames users rather than create new ones, so that the stand-in for
// Stream does not grow.
func callRoute(transport http.RoundTripper, client, service, route, caller, id string) error {
	method, url, body, want := "GET", "", "", id
	switch route {
	case "token":
		url = service + "/token/" + id
	case "config":
		url = service + "/config?clientType=web"
	case "proxy":
		method, url = "POST", service+"/proxy/users"
		body = fmt.Sprintf(`{"users":{%q:{"id":%q,"name":%q}}}`, caller, caller, id)
	case "api-key":
		url, want = client+"/api-key", "api_key"
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("userid", id)
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if response.StatusCode/100 != 2 || !strings.Contains(string(answer), `"`+want+`"`) {
		return fmt.Errorf("%s: want status 2xx with %q, got %d %.200s", url, want, response.StatusCode, answer)
	}
	return nil
}
