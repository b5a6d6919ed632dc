package bench

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"
)

// endings are the ways in which idle connections end.
var endings = []ending{
	{name: "closed"},
	{name: "reset", reset: true},
	{name: "closed-while-frozen", frozen: true},
	{name: "reset-while-frozen", reset: true, frozen: true},
	{name: "kept-while-frozen", kept: true, frozen: true},
}

type ending struct {
	name    string
	reset   bool // closed otherwise
	kept    bool // left open
	frozen  bool // while the process is stopped
	goodbye bool // Stream announces it in each answer
}

var goodbye = ending{name: "goodbye", kept: true, goodbye: true}

// BenchmarkAfterFreeze sends 200 POSTs, ends the connections between any two, and
// fails if a POST is lost or reaches Stream twice. With PAUSE set to a duration,
// it stops the process for that long each time and sends 3 POSTs.
func BenchmarkAfterFreeze(b *testing.B) {
	posts := 200
	if os.Getenv("PAUSE") != "" {
		posts = 3
	}
	for _, protocol := range protocols {
		for _, e := range append(endings, goodbye) {
			b.Run(protocol+"/"+e.name, func(b *testing.B) {
				lost, twice := 0, 0
				for b.Loop() {
					l, t := post(b, protocol, posts, e)
					lost, twice = lost+l, twice+t
				}
				if lost+twice > 0 {
					b.Errorf("want each POST to arrive once, got %d lost and %d duplicated", lost, twice)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(posts), "posts/op")
				b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
				b.ReportMetric(float64(twice)/float64(b.N), "twice/op")
			})
		}
	}
}

// post sends n POSTs through the proxy, ends all connections between any two, and
// returns how many failed and how many Stream received more than once.
func post(tb testing.TB, protocol string, n int, e ending) (lost, twice int) {
	tb.Helper()
	pause, _ := time.ParseDuration(os.Getenv("PAUSE"))
	ssm := newParameterStore(tb, 0)
	upstream := newStreamChat(tb, protocol)
	upstream.goodbye.Store(e.goodbye)
	f := start(tb, "proxy", append(upstream.env(), ssm.env())...)
	for i := range n {
		if err := f.Idle(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		if e.frozen {
			freeze(tb, f.OS.Pid)
		}
		if !e.kept {
			upstream.conns.end(e.reset)
		}
		if e.frozen {
			time.Sleep(pause)
			thaw(tb, f.OS.Pid)
		}

		body := fmt.Sprintf(`{"n":%d}`, i)
		var answer bytes.Buffer
		if _, err := f.stream(tb.Context(), proxyEvent(tb, "POST", "/once", body), &answer); err != nil {
			tb.Fatal(err)
		}
		if upstream.times(body) != 1 || !bytes.Contains(answer.Bytes(), []byte(`"statusCode":201`)) {
			tb.Logf("POST %d: Stream received it %d times, the answer begins %.200s", i, upstream.times(body), answer.Bytes())
		}
		if !bytes.Contains(answer.Bytes(), []byte(`"statusCode":201`)) {
			lost++
		}
		if upstream.times(body) > 1 {
			twice++
		}
	}
	return lost, twice
}

// BenchmarkSettingsAfterFreeze fails if a call to SSM needs a second attempt. It
// leaves a parameter missing, because a value that was never fetched is requested
// again on every request, with no TTL to wait for.
func BenchmarkSettingsAfterFreeze(b *testing.B) {
	const name = "/chat-service/stream/api-key"
	for _, e := range endings {
		b.Run(e.name, func(b *testing.B) {
			for b.Loop() {
				ssm := newParameterStore(b, 0)
				ssm.Delete(name)
				f := start(b, "apikey", ssm.env())
				for i := range 5 {
					if err := f.Idle(b.Context()); err != nil {
						b.Fatal(err)
					}
					if e.frozen {
						freeze(b, f.OS.Pid)
					}
					if !e.kept {
						ssm.conns.end(e.reset)
					}
					if e.frozen {
						thaw(b, f.OS.Pid)
					}
					before, want := ssm.calls.Load(), 503
					if i == 4 {
						ssm.Set(name, key)
						want = 200
					}
					answer, _ := f.invoke(b, event(b, "apikey-rest"))
					wantStatus(b, answer, want)
					if calls := ssm.calls.Load() - before; calls != 1 {
						b.Fatalf("request %d: want 1 call to SSM, got %d", i, calls)
					}
				}
				f.Stop()
			}
		})
	}
}
