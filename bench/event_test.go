package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// event returns one of the sample events.
func event(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "events", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	// API Gateway sends them without white space.
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		tb.Fatal(err)
	}
	return compact.Bytes()
}

// proxyEvent returns the event that the REST API sends for a request to /proxy.
func proxyEvent(tb testing.TB, method, path, body string) []byte {
	tb.Helper()
	var e map[string]any
	if err := json.Unmarshal(event(tb, "proxy-upsert-users-rest"), &e); err != nil {
		tb.Fatal(err)
	}
	e["httpMethod"], e["path"], e["body"] = method, "/proxy"+path, body
	encoded, err := json.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	return encoded
}

// wantStatus fails unless the buffered answer has the status want, and returns
// its body.
func wantStatus(tb testing.TB, answer []byte, want int) string {
	tb.Helper()
	var a struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.StatusCode != want {
		tb.Fatalf("want status %d, got %s", want, answer)
	}
	return a.Body
}
