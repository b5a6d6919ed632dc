package apigateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Requests a second, and their burst, that API Gateway accepts for all APIs of an
// account in a region.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
const (
	accountRate  = 10_000
	accountBurst = 5_000
)

// Limits counts requests as API Gateway does: with a token bucket for each route, and
// one above them for the account. A request that its route refuses does not count
// towards the account's.
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
type Limits struct {
	// Now is the clock, which a test may replace.
	Now func() time.Time

	mu      sync.Mutex
	routes  map[string]*rate.Limiter
	account *rate.Limiter
}

// NewLimits returns limits with full buckets.
func NewLimits() *Limits {
	return &Limits{Now: time.Now, routes: map[string]*rate.Limiter{}, account: rate.NewLimiter(accountRate, accountBurst)}
}

// Allow reports whether a request to a route, which has these limits from the first
// request on, passes. A route whose rate is 0 has the account's limit only.
func (l *Limits) Allow(route string, perSecond float64, burst int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Now()
	if perSecond > 0 {
		if l.routes[route] == nil {
			l.routes[route] = rate.NewLimiter(rate.Limit(perSecond), burst)
		}
		if !l.routes[route].AllowN(now, 1) {
			return false
		}
	}
	return l.account.AllowN(now, 1)
}
