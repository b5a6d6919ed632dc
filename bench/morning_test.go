package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/cfn"
)

// What the played morning assumes of AWS and of the functions.
const (
	network       = 40 * time.Millisecond  // there and back
	coldStart     = 180 * time.Millisecond // Lambda's own part and the process's
	ssmCall       = 15 * time.Millisecond  // from Lambda
	firstRequest  = 20 * time.Millisecond  // the issuer's keys
	warmRequest   = 3 * time.Millisecond
	concurrency   = 1000 // of the account, https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
	startsPer10s  = 1000 // of a function
	browserWaits  = 4 * time.Second
	firstWait     = 500 * time.Millisecond
	longestClient = 8 * time.Second
	attempts      = 8
)

// A morning is a minute in which people open the app, after a push notification, and
// what becomes of them. A third of them come within its first twelve seconds.
type morning struct {
	people      int
	size        string
	ssm         float64 // calls a second that Parameter Store allows, also its burst
	today       bool    // the clients before: /config, then /token; nothing is tried again
	start, wait time.Duration

	limits   *apigateway.Limits
	routes   map[string]cfn.Limit
	bucket   *rate.Limiter
	mu       sync.Mutex
	free     map[string][]*process
	total    int
	inFlight int
	starts   []time.Time
	atOnce   int
	retried  int
	gaveUp   int
	took     []time.Duration
	requests int
	busy     time.Duration // of functions, starts included
	calls    int           // to Parameter Store
}

type process struct{ ready, used bool }

func (m *morning) play(t *testing.T) {
	template, err := cfn.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	stack, err := template.Stack(cfn.Options{Region: "eu-central-1", Account: apigateway.AccountID, StackName: "chat", Parameters: map[string]string{"Size": m.size}})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := stack.Functions()
	if err != nil {
		t.Fatal(err)
	}
	m.routes, m.free = map[string]cfn.Limit{}, map[string][]*process{}
	for _, f := range functions {
		for _, r := range f.Routes {
			if !r.REST {
				m.routes[r.Path] = r.Limit
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m.limits, m.bucket = apigateway.NewLimits(), rate.NewLimiter(rate.Limit(m.ssm), int(m.ssm))
		random := rand.New(rand.NewPCG(1, 2))
		arrivals := make([]time.Duration, m.people)
		for i := range arrivals {
			arrivals[i] = time.Duration(float64(time.Minute) * math.Pow(random.Float64(), 1.5))
		}
		slices.Sort(arrivals)
		began := time.Now()
		var wg sync.WaitGroup
		for _, at := range arrivals {
			time.Sleep(at - time.Since(began))
			wg.Go(func() { m.open() })
		}
		wg.Wait()
	})
	slices.Sort(m.took)
}

// open is one person's start of the app.
func (m *morning) open() {
	began := time.Now()
	ok, again := m.ask("/config")
	if ok && m.today {
		ok, _ = m.ask("/token/{userId}")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !ok:
		m.gaveUp++
		return
	case again:
		m.retried++
	default:
		m.atOnce++
	}
	m.took = append(m.took, time.Since(began))
}

// ask sends a request as the clients in examples/clients do.
func (m *morning) ask(route string) (ok, again bool) {
	for attempt := range attempts {
		answer := make(chan bool, 1)
		go func() { answer <- m.request(route) }()
		if m.today {
			return <-answer, false
		}
		select {
		case ok = <-answer:
		case <-time.After(browserWaits):
		}
		if ok {
			return true, attempt > 0
		}
		time.Sleep(rand.N(min(firstWait<<attempt, longestClient)))
	}
	return false, true
}

// request is one request at API Gateway. It reports whether the answer is good.
func (m *morning) request(route string) bool {
	time.Sleep(network)
	m.mu.Lock()
	m.requests++
	limit := m.routes[route]
	if !m.limits.Allow(route, limit.Rate, limit.Burst) {
		m.mu.Unlock()
		return false
	}
	if m.inFlight >= concurrency {
		m.mu.Unlock()
		return false
	}
	var p *process
	if n := len(m.free[route]); n > 0 {
		p, m.free[route] = m.free[route][n-1], m.free[route][:n-1]
		m.inFlight++
		m.mu.Unlock()
	} else {
		now := time.Now()
		m.starts = slices.DeleteFunc(m.starts, func(at time.Time) bool { return now.Sub(at) >= 10*time.Second })
		if len(m.starts) >= startsPer10s {
			m.mu.Unlock()
			return false
		}
		m.total++ // processes
		m.starts = append(m.starts, now)
		p = &process{}
		m.inFlight++
		m.mu.Unlock()
	}
	began := time.Now()
	if !p.used {
		time.Sleep(coldStart)
		p.ready = m.read(m.start)
	}
	if !p.ready {
		p.ready = m.read(m.wait)
	}
	if p.ready && !p.used {
		p.used = true
		time.Sleep(firstRequest)
	}
	time.Sleep(warmRequest)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
	m.busy += time.Since(began)
	m.free[route] = append(m.free[route], p)
	return p.ready
}

// read reads Parameter Store, as shared/settings does: with full jitter while it
// throttles.
func (m *morning) read(patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for longest := 500 * time.Millisecond; ; longest = min(2*longest, 2*time.Second) {
		time.Sleep(ssmCall)
		if m.bucket.Allow() {
			m.mu.Lock()
			m.calls++
			m.mu.Unlock()
			return true
		}
		wait := rand.N(longest)
		if time.Until(deadline) < wait {
			return false
		}
		time.Sleep(wait)
	}
}

func (m *morning) p99() time.Duration {
	if len(m.took) == 0 {
		return time.Hour
	}
	return m.took[len(m.took)*99/100]
}

// each is a sum's part for each person served.
func (m *morning) each(sum float64) float64 { return sum / max(float64(len(m.took)), 1) }

func (m *morning) row() string {
	who := "now"
	if m.today {
		who = "before"
	}
	return fmt.Sprintf("| %d | %s | %s | %.0f | %.1f %% | %.1f %% | %.1f %% | %v | %.2f | %.1f ms | %d | %d |", m.people, m.size, who, m.ssm,
		100*float64(m.atOnce)/float64(m.people), 100*float64(m.retried)/float64(m.people), 100*float64(m.gaveUp)/float64(m.people),
		m.p99().Round(10*time.Millisecond), m.each(float64(m.requests)), m.each(float64(m.busy.Microseconds())/1000), m.total, m.calls)
}

// The size that fits serves everybody, with less of everything than before.
func TestAMorning(t *testing.T) {
	now := func(people int, size string, ssm float64) *morning {
		return &morning{people: people, size: size, ssm: ssm, start: 4 * time.Second, wait: 3 * time.Second}
	}
	before := func(people int, size string, ssm float64) *morning {
		return &morning{people: people, size: size, ssm: ssm, start: 9 * time.Second, wait: 5 * time.Second, today: true}
	}
	t.Log("\n| people | size | clients | SSM/s | at once | after retries | gave up | p99 | requests each | function time each | processes | SSM calls |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		now, before *morning
		fits        bool
	}{
		{now(1_000, "small", 40), before(1_000, "small", 40), true},
		{now(10_000, "small", 40), before(10_000, "small", 40), false},
		{now(10_000, "medium", 40), before(10_000, "medium", 40), true},
		{now(100_000, "large", 40), before(100_000, "large", 40), false},
		{now(100_000, "large", 1000), before(100_000, "large", 1000), true},
	} {
		c.now.play(t)
		c.before.play(t)
		t.Log("\n" + c.before.row() + "\n" + c.now.row())
		if !c.fits {
			continue
		}
		if c.now.gaveUp > 0 || c.now.p99() >= 5*time.Second {
			t.Errorf("%d people, %s: want all served, 99 %% within 5 s, got %s", c.now.people, c.now.size, c.now.row())
		}
		if c.now.each(float64(c.now.requests)) > 0.6*c.before.each(float64(c.before.requests)) || c.now.each(float64(c.now.busy)) > 0.6*c.before.each(float64(c.before.busy)) {
			t.Errorf("%d people, %s: want at most 0.6 of the requests and of the functions' time for each person served, got\n%s\n%s", c.now.people, c.now.size, c.before.row(), c.now.row())
		}
	}
}
