package bench

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"chat-service-backend/deploy/build"
)

// Limits on what Lambda loads at a cold start, in bytes.
const (
	maxBinary = 9_500_000 // webhook, which links four clients of the SDK more than the others
	maxZip    = 3_700_000
)

// BenchmarkSize reports the size of each function's binary and zip file, and
// fails if either is over its limit.
func BenchmarkSize(b *testing.B) {
	root, err := build.Root()
	if err != nil {
		b.Fatal(err)
	}
	names := functions(b)
	packages := make([]string, len(names))
	for i, name := range names {
		packages[i] = build.Function(name)
	}
	binaries, err := build.Commands(b.Context(), root, b.TempDir(), build.System{OS: "linux", Arch: "arm64"}, packages...)
	if err != nil {
		b.Fatal(err)
	}
	for _, binary := range binaries {
		b.Run(filepath.Base(binary), func(b *testing.B) {
			for b.Loop() {
				text, err := os.ReadFile(binary)
				if err != nil {
					b.Fatal(err)
				}
				var size count
				archive := zip.NewWriter(&size)
				w, err := archive.Create("bootstrap")
				if err == nil {
					_, err = w.Write(text)
				}
				if err == nil {
					err = archive.Close()
				}
				if err != nil {
					b.Fatal(err)
				}
				if len(text) > maxBinary || size > maxZip {
					b.Errorf("want at most %d bytes, %d as a zip, got %d and %d", maxBinary, maxZip, len(text), size)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(len(text)), "bytes")
				b.ReportMetric(float64(size), "zip-bytes")
			}
		})
	}
}

// A count counts the bytes written to it.
type count int

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}
