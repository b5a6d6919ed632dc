// Package settingstest plays SSM Parameter Store for tests.
package settingstest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An SSM answers GetParameters and GetParametersByPath of the JSON 1.1 protocol
// and remembers what it was asked for. Its methods may be called by many
// goroutines at once.
//
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
type SSM struct {
	URL string

	mu     sync.Mutex
	values map[string]string
	down   bool
	asked  []string
}

// New starts an SSM that holds values, by their full names, until t ends.
func New(t testing.TB, values map[string]string) *SSM {
	s := &SSM{values: maps.Clone(values)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// App are the parameters of an app with this key and secret, below the default
// prefix.
func App(key, secret string) map[string]string {
	return map[string]string{
		"/chat-service/stream/api-key":    key,
		"/chat-service/stream/api-secret": secret,
	}
}

// Env returns the environment of a function that uses this SSM: environment,
// and what AWS adds.
func (s *SSM) Env(environment map[string]string) map[string]string {
	all := map[string]string{
		"AWS_REGION":            "eu-central-1",
		"AWS_ACCESS_KEY_ID":     "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "access-key-for-tests",
		"AWS_ENDPOINT_URL_SSM":  s.URL,
	}
	maps.Copy(all, environment)
	return all
}

// Getenv returns the getenv of that environment.
func (s *SSM) Getenv(environment map[string]string) func(string) string {
	all := s.Env(environment)
	return func(name string) string { return all[name] }
}

// Set gives the parameter of a full name a value.
func (s *SSM) Set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] = value
}

// Down makes every call fail from now on, or work again.
func (s *SSM) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Asked returns the full names and paths that were asked for so far.
func (s *SSM) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

type parameter struct {
	Name  string
	Value string
}

func (s *SSM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct {
		Names          []string
		Path           string
		WithDecryption bool
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch {
	case err != nil:
		fail(w, "SerializationException")
	case s.down:
		fail(w, "AccessDeniedException") // which the client does not try again
	case r.Header.Get("X-Amz-Target") == "AmazonSSM.GetParameters":
		s.byName(w, in.Names, in.WithDecryption)
	case r.Header.Get("X-Amz-Target") == "AmazonSSM.GetParametersByPath":
		s.byPath(w, in.Path, in.WithDecryption)
	default:
		fail(w, "UnknownOperationException")
	}
}

func (s *SSM) byName(w http.ResponseWriter, names []string, decrypt bool) {
	s.asked = append(s.asked, names...)
	found, missing := []parameter{}, []string{}
	for _, name := range names {
		if value, ok := s.values[name]; ok {
			found = append(found, parameter{name, shown(name, value, decrypt)})
		} else {
			missing = append(missing, name)
		}
	}
	answer(w, map[string]any{"Parameters": found, "InvalidParameters": missing})
}

func (s *SSM) byPath(w http.ResponseWriter, folder string, decrypt bool) {
	s.asked = append(s.asked, folder)
	found := []parameter{}
	for name, value := range s.values {
		if path.Dir(name) == folder {
			found = append(found, parameter{name, shown(name, value, decrypt)})
		}
	}
	answer(w, map[string]any{"Parameters": found})
}

// shown is what a call gets to see of a parameter's value: of a secret that is
// not to be decrypted, nothing of use.
func shown(name, value string, decrypt bool) string {
	if strings.Contains(path.Base(name), "secret") && !decrypt {
		return "AQICAHhlbmNyeXB0ZWQ="
	}
	return value
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func fail(w http.ResponseWriter, kind string) {
	w.WriteHeader(http.StatusBadRequest)
	answer(w, map[string]string{"__type": kind, "message": "as the test wants it"})
}
