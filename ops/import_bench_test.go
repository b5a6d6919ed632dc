package main

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
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

// Users imported into an app without limits. To compare with another version, side by side:
//
//	go test ./ops -run - -bench Import -benchtime 1x -count 3 -other OLD-BINARY
func BenchmarkImport(b *testing.B) {
	const users = 100_000
	path := b.TempDir() + "/users.jsonl"
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range users {
		fmt.Fprintf(w, "{\"id\":\"user-%06d\",\"name\":\"User %d\",\"image\":\"https://example.com/%d.png\",\"team\":\"red\"}\n", i, i, i)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	token, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"server": true}).SignedString([]byte("secret"))
	binaries := map[string]string{"this": ""}
	if *other != "" {
		binaries["other"] = *other
	}
	for name, binary := range binaries {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				api := streamapi.New(func() (string, []string, error) { return "key", []string{"secret"}, nil })
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(*trip)
					r.URL.Path = strings.TrimPrefix(r.URL.Path, "/proxy")
					query := r.URL.Query()
					query.Set("api_key", "key")
					r.URL.RawQuery = query.Encode()
					r.Header.Set("Authorization", token)
					r.Header.Set("Stream-Auth-Type", "jwt")
					api.ServeHTTP(w, r)
				}))
				args := []string{"users", "import", "-service-url", server.URL, path}
				cmd := process(b, nil, args...)
				if binary != "" {
					cmd = exec.CommandContext(b.Context(), binary, args...)
				}
				began := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "100000 created") {
					b.Fatalf("%v\n%s", err, out)
				}
				b.ReportMetric(users/time.Since(began).Seconds(), "users/s")
				b.ReportMetric(float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024, "MB")
				b.ReportMetric((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "cpu-s")
				server.Close()
			}
		})
	}
}
