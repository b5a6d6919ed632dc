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
	buckets map[string]*rate.Limiter // by route; the account's by ""
}

// NewLimits returns limits with full buckets.
func NewLimits() *Limits { return &Limits{Now: time.Now, buckets: map[string]*rate.Limiter{}} }

// Allow reports whether a request to a route, which has these limits from the first
// request on, passes. A route whose rate is 0 has the account's limit only.
func (l *Limits) Allow(route string, perSecond float64, burst int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (perSecond <= 0 || l.take(route, perSecond, burst)) && l.take("", accountRate, accountBurst)
}

func (l *Limits) take(bucket string, perSecond float64, burst int) bool {
	if l.buckets[bucket] == nil {
		l.buckets[bucket] = rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	return l.buckets[bucket].AllowN(l.Now(), 1)
}
