// Package bench measures the deployed binaries under a Lambda Runtime API of
// its own, each beside a floor: the least function that does such a thing at
// all (see floors). Both run in turn, in one run, on one machine, so that what
// is worth comparing is their ratio, the unit x-floor.
//
//	go test -run '^$' -bench . ./bench
//
// docs/performance.md has the figures, and what they mean.
package bench
