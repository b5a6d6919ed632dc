package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/streamapi"
)

var (
	other = flag.String("other", "", "another `BINARY` of ops, to compare the import of users with")
	trip  = flag.Duration("trip", 0, "how long a call to Stream takes besides the work for it")
)

// processor returns the processor's time that this process has taken, in seconds.
func processor() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// Users imported into an app without limits. To compare with another version, side by side:
//
//	go test ./ops -run - -bench Import -benchtime 1x -count 3 -other OLD-BINARY
func BenchmarkImport(b *testing.B) {
	const users = 100_000
	var file strings.Builder
	for i := range users {
		fmt.Fprintf(&file, "{\"id\":\"user-%06d\",\"name\":\"User %d\",\"image\":\"https://example.com/%d.png\",\"team\":\"red\"}\n", i, i, i)
	}
	path := b.TempDir() + "/users.jsonl"
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the stand-in's time is not what is compared
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 << 30))
	token, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte("secret"))
	serve := func(b *testing.B) string {
		api := streamapi.New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(*trip)
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/proxy")
			r.URL.RawQuery += "&api_key=key"
			r.Header.Set("Authorization", token)
			r.Header.Set("Stream-Auth-Type", "jwt")
			api.ServeHTTP(w, r)
		}))
		b.Cleanup(server.Close)
		return server.URL
	}
	binaries := map[string]string{"this": b.TempDir() + "/ops", "other": *other}
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binaries["this"], ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	if *other == "" {
		delete(binaries, "other")
	}
	for name, binary := range binaries {
		b.Run(name, func(b *testing.B) {
			cmd := exec.CommandContext(b.Context(), binary, "users", "import", "-service-url", serve(b), path)
			runtime.GC()
			began, before := time.Now(), processor()
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			largest := make(chan string)
			go func() { // not Maxrss, which begins with that of this process
				for size := ""; ; time.Sleep(20 * time.Millisecond) {
					status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
					_, rest, found := strings.Cut(string(status), "VmHWM:")
					if err != nil || !found {
						largest <- size
						return
					}
					size = strings.Fields(rest)[0]
				}
			}()
			if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "100000 created") {
				b.Fatalf("%v\n%s", err, &out)
			}
			b.ReportMetric(users/time.Since(began).Seconds(), "users/s")
			kB, _ := strconv.ParseFloat(<-largest, 64)
			b.ReportMetric(kB/1024, "MB")
			b.ReportMetric(processor()-before, "stand-in-cpu-s")
			b.ReportMetric((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "cpu-s")
		})
	}
	// An import that only sends what is prepared, and looks for nobody. Without -trip it, too,
	// is no more than 4 times as fast as the first version, because the stand-in has these cores.
	b.Run("floor", func(b *testing.B) {
		var bodies []string
		for batch := range slices.Chunk(slices.Collect(strings.Lines(file.String())), 100) {
			var body strings.Builder
			for _, line := range batch {
				fmt.Fprintf(&body, ",%s:%s", line[len(`{"id":`):len(`{"id":"user-000000"`)], line)
			}
			bodies = append(bodies, `{"users":{`+body.String()[1:]+"}}")
		}
		url, next := serve(b), make(chan string)
		began := time.Now()
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for body := range next {
					response, err := client.Post(url+"/users?", "application/json", strings.NewReader(body))
					if err != nil || response.StatusCode != http.StatusCreated {
						b.Error(response, err)
						continue
					}
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			})
		}
		for _, body := range bodies {
			next <- body
		}
		close(next)
		all.Wait()
		b.ReportMetric(users/time.Since(began).Seconds(), "users/s")
	})
}
