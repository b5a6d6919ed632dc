package awstest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
)

// A ParameterStore accepts calls signed with the credentials of
// [ParameterStore.Env] and records what they ask for. Its methods may be called
// by many goroutines at once.
type ParameterStore struct {
	*parameterstore.Memory
	*httptest.Server
	Fault *standin.Switch

	mu    sync.Mutex
	asked []string
}

// NewParameterStore starts a Parameter Store that holds values, by their full
// names, until t ends.
func NewParameterStore(t testing.TB, values map[string]string) *ParameterStore {
	s := &ParameterStore{Memory: parameterstore.NewMemory(values)}
	store := &parameterstore.Store{Values: s.Values, Credentials: &credentials, Asked: func(names ...string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, names...)
	}}
	s.Fault = &store.Fault
	s.Server = httptest.NewServer(store)
	t.Cleanup(s.Close)
	return s
}

// App returns the parameters of an app with this key and secret, below the
// default prefix.
func App(key, secret string) map[string]string {
	return map[string]string{
		"/chat-service/stream/api-key":    key,
		"/chat-service/stream/api-secret": secret,
	}
}

// Env returns environment and the variables of a function that uses this store.
func (s *ParameterStore) Env(environment map[string]string) map[string]string {
	return awsEnv(map[string]string{"AWS_ENDPOINT_URL_SSM": s.URL}, environment)
}

// awsEnv returns what AWS adds to every function's environment, with others over it.
func awsEnv(others ...map[string]string) map[string]string {
	all := map[string]string{
		"AWS_REGION": credentials.Region, "AWS_ACCESS_KEY_ID": credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY": credentials.SecretAccessKey,
	}
	for _, other := range others {
		maps.Copy(all, other)
	}
	return all
}

// Getenv returns os.Getenv for that environment.
func (s *ParameterStore) Getenv(environment map[string]string) func(string) string {
	all := s.Env(environment)
	return func(name string) string { return all[name] }
}

// Down makes every call fail, or work again.
func (s *ParameterStore) Down(down bool) {
	s.Fault.Set(nil)
	if down {
		s.Fault.Set(standin.Refuse(http.StatusBadRequest, "AccessDeniedException")) // which the client does not retry
	}
}

// Asked returns the full names and paths of all calls so far.
func (s *ParameterStore) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}
