// Package bench measures the functions' binaries under a local Lambda Runtime
// API, each against a floor: the smallest function that does the same kind of
// work (see floors). The two alternate in one run on one machine, so compare
// their ratio, the x-floor units, rather than the absolute times.
//
//	go test -run '^$' -bench . ./bench
//
// docs/performance.md has the figures and what they mean.
package bench
