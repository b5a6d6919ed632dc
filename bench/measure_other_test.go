//go:build !linux

package bench

import (
	"testing"
	"time"
)

// These figures are read from Linux's /proc and are missing on other systems.

func cpu(testing.TB, int) time.Duration { return 0 }

func memory(testing.TB, int) (now, peak int) { return 0, 0 }

func proportional(testing.TB, int) int { return 0 }

func forgetPeak(testing.TB, int) {}

func treeMemory(testing.TB, int) int { return 0 }
