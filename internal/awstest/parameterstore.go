package awstest

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

// A ParameterStore answers GetParameters and GetParametersByPath of the JSON 1.1 protocol
// and remembers what it was asked for. Its methods may be called by many
// goroutines at once.
//
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
type ParameterStore struct {
	URL string

	mu     sync.Mutex
	values map[string]string
	down   bool
	asked  []string
}

// NewParameterStore starts a Parameter Store that holds values, by their full names, until t ends.
func NewParameterStore(t testing.TB, values map[string]string) *ParameterStore {
	s := &ParameterStore{values: maps.Clone(values)}
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

// Env returns the environment of a function that uses this store: environment,
// and what AWS adds.
func (s *ParameterStore) Env(environment map[string]string) map[string]string {
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
func (s *ParameterStore) Getenv(environment map[string]string) func(string) string {
	all := s.Env(environment)
	return func(name string) string { return all[name] }
}

// Set gives the parameter of a full name a value.
func (s *ParameterStore) Set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[name] = value
}

// Down makes every call fail from now on, or work again.
func (s *ParameterStore) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Asked returns the full names and paths that were asked for so far.
func (s *ParameterStore) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

type parameter struct {
	Name  string
	Value string
}

func (s *ParameterStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		Fail(w, http.StatusBadRequest, "SerializationException")
	case s.down:
		Fail(w, http.StatusBadRequest, "AccessDeniedException") // which the client does not try again
	case r.Header.Get("X-Amz-Target") == "AmazonSSM.GetParameters":
		s.byName(w, in.Names, in.WithDecryption)
	case r.Header.Get("X-Amz-Target") == "AmazonSSM.GetParametersByPath":
		s.byPath(w, in.Path, in.WithDecryption)
	default:
		Fail(w, http.StatusBadRequest, "UnknownOperationException")
	}
}

func (s *ParameterStore) byName(w http.ResponseWriter, names []string, decrypt bool) {
	s.asked = append(s.asked, names...)
	found, missing := []parameter{}, []string{}
	for _, name := range names {
		if value, ok := s.values[name]; ok {
			found = append(found, parameter{name, shown(name, value, decrypt)})
		} else {
			missing = append(missing, name)
		}
	}
	write(w, map[string]any{"Parameters": found, "InvalidParameters": missing})
}

func (s *ParameterStore) byPath(w http.ResponseWriter, folder string, decrypt bool) {
	s.asked = append(s.asked, folder)
	found := []parameter{}
	for name, value := range s.values {
		if path.Dir(name) == folder {
			found = append(found, parameter{name, shown(name, value, decrypt)})
		}
	}
	write(w, map[string]any{"Parameters": found})
}

// shown is what a call gets to see of a parameter's value: of a secret that is
// not to be decrypted, nothing of use.
func shown(name, value string, decrypt bool) string {
	if strings.Contains(path.Base(name), "secret") && !decrypt {
		return "AQICAHhlbmNyeXB0ZWQ="
	}
	return value
}
