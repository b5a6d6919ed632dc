package bench

import (
	"slices"
	"testing"
	"time"
)

func median(all []time.Duration) time.Duration { return quantile(all, 0.5) }

// quantile returns the q-quantile of all, or 0 if there are none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// report reports a figure, its floor and their ratio. It suppresses ns/op, which
// would be the sum of both.
func report(b *testing.B, unit string, ours, floor float64) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours, unit)
	if floor > 0 {
		b.ReportMetric(floor, "floor-"+unit)
		b.ReportMetric(ours/floor, "x-floor-"+unit)
	}
}
