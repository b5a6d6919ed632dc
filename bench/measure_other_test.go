//go:build !linux

package bench

import (
	"testing"
	"time"
)

// Only Linux, where Lambda runs, tells about another process. Elsewhere these
// figures are missing.

func cpu(testing.TB, int) time.Duration { return 0 }

func memory(testing.TB, int) (now, peak int) { return 0, 0 }

func proportional(testing.TB, int) int { return 0 }

func forgetPeak(testing.TB, int) {}

func treeMemory(testing.TB, int) int { return 0 }
