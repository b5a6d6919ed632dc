package bench

import (
	"cmp"
	"flag"
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
	"chat-service-backend/ops/cfn"
)

// What the played morning assumes of AWS, of Stream and of the functions.
const (
	network       = 40 * time.Millisecond  // there and back
	coldStart     = 180 * time.Millisecond // Lambda's own part and the process's
	ssmCall       = 15 * time.Millisecond  // from Lambda
	streamCall    = 50 * time.Millisecond  // likewise
	firstRequest  = 20 * time.Millisecond  // the issuer's keys
	warmRequest   = 3 * time.Millisecond
	concurrency   = 1000   // of the account, https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
	startsPer10s  = 1000   // of a function
	accountRate   = 10_000 // requests a second at all APIs, https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
	accountBurst  = 5_000
	browserWaits  = 4 * time.Second
	firstWait     = 500 * time.Millisecond
	longestClient = 8 * time.Second
	attempts      = 8
)

// connects is how many connections of a platform Stream allows in a minute. Of that, a
// thirtieth is allowed in a second.
const connects = 10_000

// A morning is a minute or so in which people open the app, after a push notification,
// and what becomes of them. A third of them come within its first fifth.
type morning struct {
	people   int
	within   time.Duration
	size     string
	limit    string  // of each route for clients, if it is not the size's
	ssm      float64 // calls a second that Parameter Store allows, also its burst
	slow     float64 // factor of all that the network does
	asked    float64 // Stream's limits, as a multiple of what it allows everybody
	before   bool    // the build and the clients that this project began with
	withSync bool    // SyncUsers, whose calls Stream does not limit: see shared/users

	limits          map[string]*rate.Limiter // by route; the account's by ""
	bucket          *rate.Limiter
	connecting      *minuteLimit
	mu              *sync.Mutex
	free            map[string][]*process
	starts          []time.Time
	inFlight        int
	total, calls    int // processes; calls to Parameter Store
	atOnce, retried int
	gaveUp          int
	took, online    []time.Duration
	requests        int
	busy            time.Duration // of functions, starts included
	asks            int           // calls of the functions to Stream
	dials           int           // connections that clients tried
}

type process struct {
	ready, used bool
	app         time.Time // when the app was read
}

// A minuteLimit counts calls in a minute and in a second, as Stream does.
type minuteLimit struct {
	minute, second     int // allowed
	inMinute, inSecond int
	at                 time.Time
}

// allow reports whether a call passes.
func (l *minuteLimit) allow() bool {
	now := time.Now()
	if now.Truncate(time.Minute).After(l.at) {
		l.inMinute = 0
	}
	if now.Truncate(time.Second).After(l.at) {
		l.inSecond = 0
	}
	l.at = now
	if l.inMinute >= l.minute || l.inSecond >= l.second {
		return false
	}
	l.inMinute, l.inSecond = l.inMinute+1, l.inSecond+1
	return true
}

func (m *morning) wait(d time.Duration) { time.Sleep(time.Duration(m.slow * float64(d))) }

func (m *morning) play(t *testing.T) {
	template, err := cfn.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	parameters := map[string]string{"Size": m.size}
	if m.limit != "" {
		parameters["ClientApiLimit"] = m.limit
	}
	stack, err := template.Stack(cfn.Options{Region: "eu-central-1", Account: apigateway.AccountID, StackName: "chat", Parameters: parameters})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := stack.Functions()
	if err != nil {
		t.Fatal(err)
	}
	m.mu, m.free = new(sync.Mutex), map[string][]*process{}
	synctest.Test(t, func(t *testing.T) {
		m.limits, m.bucket = map[string]*rate.Limiter{"": rate.NewLimiter(accountRate, accountBurst)}, rate.NewLimiter(rate.Limit(m.ssm), int(m.ssm))
		for _, f := range functions {
			for _, r := range f.Routes {
				if !r.REST && r.Limit.Rate > 0 {
					m.limits[r.Path] = rate.NewLimiter(rate.Limit(r.Limit.Rate), r.Limit.Burst)
				}
			}
		}
		m.connecting = &minuteLimit{minute: int(connects * m.asked), second: int(connects * m.asked / 30)}
		random := rand.New(rand.NewPCG(1, 2))
		arrivals := make([]time.Duration, m.people)
		for i := range arrivals {
			arrivals[i] = time.Duration(float64(m.within) * math.Pow(random.Float64(), 1.5))
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
	slices.Sort(m.online)
}

// open is one person's start of the app: a token, then a connection to Stream.
func (m *morning) open() {
	began := time.Now()
	ok, again := m.ask("/config")
	if ok && m.before { // whose SDK asks for a token of its own
		ok, _ = m.ask("/token/{userId}")
	}
	m.mu.Lock()
	switch {
	case !ok:
		m.gaveUp++
	case again:
		m.retried++
	default:
		m.atOnce++
	}
	if ok {
		m.took = append(m.took, time.Since(began))
	}
	m.mu.Unlock()
	if ok && m.connect() {
		m.mu.Lock()
		m.online = append(m.online, time.Since(began))
		m.mu.Unlock()
	}
}

// ask sends a request as the clients in examples/clients do.
func (m *morning) ask(route string) (ok, again bool) {
	for attempt := range attempts {
		answer := make(chan bool, 1)
		go func() { answer <- m.request(route) }()
		if m.before {
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

// connect connects to Stream. Only today's clients try again after a refusal.
func (m *morning) connect() bool {
	for attempt := range attempts {
		m.wait(network)
		m.mu.Lock()
		m.dials++
		ok := m.connecting.allow()
		m.mu.Unlock()
		if ok || m.before {
			return ok
		}
		time.Sleep(rand.N(min(2*firstWait<<attempt, longestClient)))
	}
	return false
}

// request is one request at API Gateway. It reports whether the answer is good.
func (m *morning) request(route string) bool {
	m.wait(network)
	m.mu.Lock()
	m.requests++
	own := m.limits[route] // what it refuses does not count towards the account's
	if own != nil && !own.Allow() || !m.limits[""].Allow() || m.inFlight >= concurrency {
		m.mu.Unlock()
		return false
	}
	var p *process
	if n := len(m.free[route]); n > 0 {
		p, m.free[route] = m.free[route][n-1], m.free[route][:n-1]
	} else {
		now := time.Now()
		m.starts = slices.DeleteFunc(m.starts, func(at time.Time) bool { return now.Sub(at) >= 10*time.Second })
		if len(m.starts) >= startsPer10s {
			m.mu.Unlock()
			return false
		}
		m.total++
		m.starts = append(m.starts, now)
		p = &process{}
	}
	m.inFlight++
	m.mu.Unlock()
	began := time.Now()
	start, patience := 4*time.Second, 3*time.Second
	if m.before {
		start, patience = 9*time.Second, 5*time.Second
	}
	if !p.used {
		m.wait(coldStart)
		p.ready = m.read(start)
	}
	if !p.ready {
		p.ready = m.read(patience)
	}
	if p.ready && !p.used {
		p.used = true
		m.wait(firstRequest)
	}
	if p.ready && m.withSync {
		m.lookUp(p)
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
		m.wait(ssmCall)
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

// lookUp reads the user at Stream, as shared/users does. Now it first reads the app, when
// there are many processes every five seconds.
func (m *morning) lookUp(p *process) {
	m.mu.Lock()
	m.asks++
	app := !m.before && time.Since(p.app) >= 5*time.Second
	if app {
		p.app = time.Now()
		m.asks++
	}
	m.mu.Unlock()
	if app {
		m.wait(streamCall)
	}
	m.wait(streamCall)
}

func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return time.Hour
	}
	return all[len(all)*99/100].Round(10 * time.Millisecond)
}

// sums are, for each person served, what is wanted at most 0.6 times.
func (m *morning) sums() map[string]float64 {
	served := max(float64(len(m.took)), 1)
	return map[string]float64{"requests": float64(m.requests) / served, "ms of functions": float64(m.busy.Microseconds()) / 1000 / served, "calls to Stream": float64(m.asks) / served}
}

func (m *morning) row() string {
	who, sync := "now", "no"
	if m.before {
		who = "before"
	}
	if m.withSync {
		sync = "yes"
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(m.people) }
	sums := m.sums()
	return fmt.Sprintf("| %d in %v | %s | %s | %s | %.0f | %.1f %% | %.1f %% | %.1f %% | %v | %.2f | %.1f ms | %d, %d | %.3f | %.1f %%, %v |", m.people, m.within, cmp.Or(m.limit, m.size), who, sync, m.ssm,
		share(m.atOnce), share(m.retried), share(m.gaveUp), p99(m.took), sums["requests"], sums["ms of functions"], m.total, m.calls, sums["calls to Stream"], share(len(m.online)), p99(m.online))
}

var everyMorning = flag.Bool("every-morning", false, "play more than 10,000 people, too")

// The size that fits serves everybody, with less of everything than before.
func TestAMorning(t *testing.T) {
	t.Log("\n| people | limits | clients | SyncUsers | SSM/s | at once | after retries | gave up | p99 to a token | requests each | functions' time each | processes, SSM calls | functions' calls to Stream each | connected, p99 |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, c := range []morning{
		{people: 1_000, size: "small", ssm: 40},
		{people: 10_000, size: "medium", ssm: 40},
		{people: 10_000, size: "medium", ssm: 40, withSync: true},
		{people: 100_000, size: "large", ssm: 40, asked: 12},
		{people: 100_000, size: "large", ssm: 1000, asked: 12},
		// Others than the sizes are made for.
		{people: 5_000, size: "medium", ssm: 40, withSync: true, within: 30 * time.Second},
		{people: 10_000, size: "medium", ssm: 40, slow: 2},
		{people: 10_000, size: "medium", ssm: 40, slow: 0.5},
		{people: 20_000, size: "large", ssm: 40, asked: 4},
		{people: 50_000, size: "large", ssm: 1000, asked: 12, within: 30 * time.Second},
	} {
		if c.people > 10_000 && !*everyMorning {
			continue
		}
		defaults := c.within == 0 && c.slow == 0 && c.people != 20_000
		c.within, c.slow, c.asked = cmp.Or(c.within, time.Minute), cmp.Or(c.slow, 1), cmp.Or(c.asked, 1)
		now, before := c, c
		before.before = true
		now.play(t)
		before.play(t)
		rows := "\n" + before.row() + "\n" + now.row()
		if defaults && !c.withSync { // all had these limits
			c.before, c.limit = true, "20,100"
			c.play(t)
			rows = "\n" + c.row() + rows
		}
		t.Log(rows)
		if now.gaveUp > 0 || p99(now.took) >= 5*time.Second || len(now.online) < now.people {
			t.Errorf("want all served and connected, 99 %% with a token within 5 s, got %s", now.row())
		}
		was := before.sums()
		for what, sum := range now.sums() {
			if sum > 0.6*was[what] {
				t.Errorf("%s: want at most 0.6 of what it was for each person served, got %.3f of %.3f: %.2f%s", what, sum, was[what], sum/was[what], rows)
			}
		}
	}
}
