package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkInit lists the median initialization time of each package of a
// function, as traced by the Go runtime.
//
// https://pkg.go.dev/runtime#hdr-Environment_Variables
func BenchmarkInit(b *testing.B) {
	for _, name := range append(functions(b), "floor/token", "floor/empty") {
		b.Run(strings.ReplaceAll(name, "/", "-"), func(b *testing.B) {
			ssm := newParameterStore(b, 0)
			upstream := newStreamChat(b, "h2")
			binary(b, name)
			clock := make(map[string][]time.Duration)
			allocated := make(map[string]string)
			var total []time.Duration
			for b.Loop() {
				f := start(b, name, append(upstream.env(), ssm.env(), "GODEBUG=inittrace=1")...)
				if err := f.Idle(b.Context()); err != nil {
					b.Fatal(err)
				}
				f.Stop()
				text, err := os.ReadFile(f.log)
				if err != nil {
					b.Fatal(err)
				}
				var sum time.Duration
				for line := range strings.Lines(string(text)) {
					// init internal/godebug @0.2 ms, 0.01 ms clock, 1024 bytes, 5 allocs
					fields := strings.Fields(line)
					if len(fields) != 11 || fields[0] != "init" {
						continue
					}
					milliseconds, err := strconv.ParseFloat(fields[4], 64)
					if err != nil {
						b.Fatalf("want a line from inittrace, got %q", line)
					}
					d := time.Duration(milliseconds * float64(time.Millisecond))
					clock[fields[1]] = append(clock[fields[1]], d)
					allocated[fields[1]] = fields[7]
					sum += d
				}
				total = append(total, sum)
			}
			report(b, "ms-init/start", ms(median(total)), 0)
			packages := make([]string, 0, len(clock))
			for name := range clock {
				packages = append(packages, name)
			}
			slices.SortFunc(packages, func(x, y string) int { return cmp.Compare(median(clock[y]), median(clock[x])) })
			var list strings.Builder
			for _, name := range packages {
				if median(clock[name]) >= 10*time.Microsecond {
					fmt.Fprintf(&list, "\n%8.3f ms %9s bytes  %s", ms(median(clock[name])), allocated[name], name)
				}
			}
			b.Log(list.String())
		})
	}
}
