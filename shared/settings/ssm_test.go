package settings

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

func openAt(t testing.TB, url string, more map[string]string) *Store {
	t.Helper()
	return openWith(t, awsEnvironment(url, more))
}

func awsEnvironment(url string, more map[string]string) func(string) string {
	all := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_ENDPOINT_URL_SSM": url,
	}
	maps.Copy(all, more)
	return func(name string) string { return all[name] }
}

func openWith(t testing.TB, getenv func(string) string) *Store {
	t.Helper()
	store, err := Open(getenv)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// failing makes the store fail some calls, numbered from 1, and counts all.
func failing(ssm *awstest.ParameterStore, code string, fails func(call int) bool) (calls *int) {
	calls = new(int)
	ssm.Fault.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if *calls++; fails(*calls) {
			standin.Error(w, http.StatusBadRequest, code, "as the test wants it")
			return
		}
		next.ServeHTTP(w, r)
	})
	return calls
}

func never(int) bool { return false }

func TestParametersAreFetchedInOneCallWithoutMissingOnes(t *testing.T) {
	ssm := awstest.NewParameterStore(t, map[string]string{"/app/stream/api-key": "k", "/app/stream/api-secret": "s"})
	calls := failing(ssm, "", never)
	store := openWith(t, ssm.Getenv(map[string]string{"PARAMETER_PREFIX": "/app"}))
	if *calls != 0 {
		t.Error("want no call yet, got one")
	}
	got, err := store.Parameters(t.Context(), "stream/api-key", "stream/api-secret", "none")
	if want := map[string]string{"stream/api-key": "k", "stream/api-secret": "s"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("want %v, got %v, %v", want, got, err)
	}
	if *calls != 1 || !slices.Equal(ssm.Asked(), []string{"/app/stream/api-key", "/app/stream/api-secret", "/app/none"}) {
		t.Errorf("want one call for the full names, got %d for %q", *calls, ssm.Asked())
	}
}

func TestMoreThanTenNamesAreAnError(t *testing.T) {
	ssm := awstest.NewParameterStore(t, nil)
	store := openWith(t, ssm.Getenv(nil))
	names := strings.Split(strings.Repeat("n ", 10)+"n", " ")
	if _, err := store.Parameters(t.Context(), names...); err == nil || !strings.Contains(err.Error(), "11 names are more than the 10") {
		t.Errorf("want an error for eleven names, got %v", err)
	}
	if _, err := store.Parameters(t.Context(), names[:10]...); err != nil || len(ssm.Asked()) != 10 {
		t.Errorf("want ten names requested, got %q, %v", ssm.Asked(), err)
	}
}

func below() (values, want map[string]string) {
	values = map[string]string{"/chat-service/client-config-2/x": "no", "/chat-service/client-config/deeper/x": "no", "/chat-service/stream/api-secret": "no"}
	want = map[string]string{}
	for i := range 25 {
		name := fmt.Sprintf("a%d", i)
		values["/chat-service/client-config/"+name], want[name] = "value", "value"
	}
	return values, want
}

func TestBelowReadsAllPagesAndNothingElse(t *testing.T) {
	values, want := below()
	ssm := awstest.NewParameterStore(t, values)
	calls := failing(ssm, "", never)
	got, err := openWith(t, ssm.Getenv(nil)).Below(t.Context(), "client-config")
	if err != nil || !maps.Equal(got, want) || *calls != 3 {
		t.Errorf("want %v in three calls, got %v in %d, %v", want, got, *calls, err)
	}
}

func TestBelowFailsWithAnyPage(t *testing.T) {
	values, _ := below()
	ssm := awstest.NewParameterStore(t, values)
	failing(ssm, "AccessDeniedException", func(call int) bool { return call == 2 })
	if got, err := openWith(t, ssm.Getenv(nil)).Below(t.Context(), "client-config"); err == nil || got != nil || !strings.Contains(err.Error(), "/chat-service/client-config") {
		t.Errorf("want an error that names the path, and no parameters, got %v, %v", got, err)
	}
}

func TestThrottledPageAloneIsRepeated(t *testing.T) {
	values, want := below()
	ssm := awstest.NewParameterStore(t, values)
	calls := failing(ssm, "ThrottlingException", func(call int) bool { return call == 2 })
	got, err := openWith(t, ssm.Getenv(nil)).Below(t.Context(), "client-config")
	if err != nil || !maps.Equal(got, want) || *calls != 4 {
		t.Errorf("want %v in four calls, got %v in %d, %v", want, got, *calls, err)
	}
}
