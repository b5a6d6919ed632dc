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
	trip  = flag.Duration("trip", 100*time.Microsecond, "how long a call to Stream takes besides the work for it")
)

// processor returns the processor's time that this process has taken, in seconds.
func processor() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// Users imported into an app without limits. To compare with another version, in turns
// (the figures are medians):
//
//	go test ./ops -run - -bench Import -benchtime 5x -other OLD-BINARY
//
// A call to a server takes a tenth of a millisecond even within one data centre, so that is
// -trip unless it is given. The stand-in has the same cores. On two of them, the first version
// of all was 8 times as slow so, 7.6 times with 1ms, 9.7 times with 5ms and 4.3 times with 0.
func BenchmarkImport(b *testing.B) {
	const users = 100_000
	var file strings.Builder
	var bodies []string // prepared, for the floor
	for i := range users {
		if i%100 == 0 {
			bodies = append(bodies, `{"users":{`)
		}
		line := fmt.Sprintf(`{"id":"user-%06d","name":"User %d","image":"https://example.com/%d.png","team":"red"}`, i, i, i)
		file.WriteString(line + "\n")
		bodies[i/100] += fmt.Sprintf(`"user-%06d":%s%s`, i, line, map[bool]string{true: "}}", false: ","}[i%100 == 99])
	}
	path, this := b.TempDir()+"/users.jsonl", b.TempDir()+"/ops"
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", this, "chat-service-backend/ops").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the stand-in's time is not what is compared
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 << 30))
	token, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte("secret"))
	figures := map[string][]float64{}
	turn := func(name string, run func(url string)) {
		api := streamapi.New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(*trip)
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/proxy")
			r.URL.RawQuery += "&api_key=key"
			r.Header.Set("Authorization", token)
			r.Header.Set("Stream-Auth-Type", "jwt")
			api.ServeHTTP(w, r)
		}))
		defer server.Close()
		runtime.GC()
		began, before := time.Now(), processor()
		run(server.URL)
		figures[name+"-users/s"] = append(figures[name+"-users/s"], users/time.Since(began).Seconds())
		figures[name+"-stand-in-cpu-s"] = append(figures[name+"-stand-in-cpu-s"], processor()-before)
	}
	for range b.N {
		// An import that only sends what is prepared, and looks for nobody. The stand-in has
		// the same cores.
		turn("floor", func(url string) { post(b, url+"/users?", bodies) })
		for name, binary := range map[string]string{"this": this, "other": *other} {
			if binary == "" {
				continue
			}
			turn(name, func(url string) {
				cmd := exec.CommandContext(b.Context(), binary, "users", "import", "-service-url", url, path)
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
				kB, _ := strconv.ParseFloat(<-largest, 64)
				figures[name+"-MB"] = append(figures[name+"-MB"], kB/1024)
				figures[name+"-cpu-s"] = append(figures[name+"-cpu-s"], (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
			})
		}
	}
	for unit, values := range figures {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], unit)
	}
}

// post posts bodies, 16 at once.
func post(b *testing.B, url string, bodies []string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	next := make(chan string)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for body := range next {
				response, err := client.Post(url, "application/json", strings.NewReader(body))
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
}
