package settings_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"chat-service-backend/internal/standin"
	"chat-service-backend/shared/awsconfig"
)

func TestCredentialsAreThoseOfTheEnvironment(t *testing.T) {
	all := map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "token"}
	got, err := awsconfig.New(func(n string) string { return all[n] }).Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "AKID" || got.SecretAccessKey != "hunter2" || got.SessionToken != "token" {
		t.Errorf("want those of the environment, got %v", err)
	}
	delete(all, "AWS_SECRET_ACCESS_KEY")
	if _, err := awsconfig.New(func(n string) string { return all[n] }).Credentials.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("want an error that names the variable, got %v", err)
	}
}

// A network answers every call with a status and keeps the last request.
type network struct {
	status int
	code   string
	last   *http.Request
}

func (n *network) Do(r *http.Request) (*http.Response, error) {
	n.last = r
	w := httptest.NewRecorder()
	standin.Error(w, n.status, n.code, "the message that was sent")
	return w.Result(), nil
}

func call(t *testing.T, n *network, environment map[string]string) error {
	cfg := awsconfig.New(func(name string) string {
		return map[string]string{"AWS_REGION": "eusc-de-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}[name] + environment[name]
	})
	cfg.HTTPClient = n
	_, err := ssm.NewFromConfig(cfg).GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"/a"}})
	return err
}

func TestEndpointIsTheRegionsOrTheEnvironments(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   map[string]string
		wants string
	}{
		{"none", nil, "ssm.eusc-de-east-1.amazonaws.eu"}, // a partition that a list of our own would not know
		{"one", map[string]string{"AWS_ENDPOINT_URL_SSM": "http://one"}, "one"},
		{"all", map[string]string{"AWS_ENDPOINT_URL": "http://all"}, "all"},
		{"both", map[string]string{"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_SSM": "http://one"}, "one"},
		{"another's", map[string]string{"AWS_ENDPOINT_URL_EVENTBRIDGE": "http://events"}, "ssm.eusc-de-east-1.amazonaws.eu"},
	} {
		n := &network{status: http.StatusBadRequest}
		_ = call(t, n, c.env)
		if n.last == nil || n.last.URL.Host != c.wants {
			t.Errorf("%s: want a call of %s, got %v", c.name, c.wants, n.last)
		}
	}
}

func TestErrorDoesNotQuoteAWS(t *testing.T) {
	err := awsconfig.Brief(call(t, &network{status: http.StatusBadRequest, code: "InvalidKeyId"}, nil))
	if e, ok := errors.AsType[*awsconfig.Error](err); !ok || e.Code != "InvalidKeyId" || e.Status != http.StatusBadRequest || strings.Contains(err.Error(), "message that") {
		t.Errorf("want the code alone, got %v", err)
	}
}
