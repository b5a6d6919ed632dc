package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/lambdahttp"
	"chat-service-backend/shared/settings"
)

// TestMain makes the test binary, if a test starts it, a function that answers with its
// caller.
func TestMain(m *testing.M) {
	awstest.Main(m, func() {
		lambdahttp.Main(func(_ context.Context, getenv func(string) string) (http.Handler, error) {
			gate, err := OpenGate(getenv)
			return HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				if failed, ok := failing[strings.TrimPrefix(r.URL.Path, "/fail/")]; ok {
					return failed.err
				}
				who := gate.Caller
				if r.URL.Path == "/known" {
					who = gate.KnownCaller
				}
				caller, err := who(r)
				if err != nil {
					return err
				}
				return httpjson.Write(w, http.StatusOK, map[string]any{"Kind": caller.Kind, "UserID": caller.UserID})
			}), err
		})
	})
}

func TestErrorsOfSharedPackagesHaveTheirResponses(t *testing.T) {
	cause := errors.New("hunter2")
	for name, test := range map[string]struct {
		err       error
		status    int
		challenge string
	}{
		"not signed in":       {errNotSignedIn, 401, "Bearer"},
		"bad token":           {fmt.Errorf("%w: %w", identity.ErrBadToken, cause), 401, "Bearer"},
		"issuer unavailable":  {fmt.Errorf("%w: %w", identity.ErrUnavailable, cause), 503, ""},
		"settings":            {fmt.Errorf("%w: %w", settings.ErrUnavailable, cause), 503, ""},
		"a handler's own":     {httpjson.Errorf(404, "Not here."), 404, ""},
		"a handler's own 401": {&httpjson.Error{Status: 401, Message: "No.", Cause: cause}, 401, ""},
		"anything else":       {cause, 500, ""},
	} {
		w := httptest.NewRecorder()
		HandlerFunc(func(http.ResponseWriter, *http.Request) error { return test.err }).
			ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if w.Code != test.status || w.Header().Get("WWW-Authenticate") != test.challenge || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: want %d with challenge %q and no cause, got %d %v %s", name, test.status, test.challenge, w.Code, w.Header(), w.Body)
		}
	}
}

// forged are header fields with which an attacker may try to be somebody.
var forged = map[string]string{
	"userid": "u1", "X-User-Id": "u1", "X-Amzn-Oidc-Identity": "u1", "X-Amzn-Iam-User-Arn": "arn:aws:iam::1:user/x",
	"X-GoLambdaProxy-ApiGw-Context": `{"identity":{"userArn":"arn:aws:iam::1:user/x"},"authorizer":{"iam":{"userArn":"arn:aws:iam::1:user/x"}}}`,
	"X-Forwarded-User":              "u1", "Cookie": "token=u1", "Proxy-Authorization": "Bearer x",
}

// request returns a GET with the forged fields and, if not "", an Authorization field.
func request(t *testing.T, path, authorization string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for name, value := range forged {
		r.Header.Set(name, value)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func TestCallersAreIdentifiedOnlyByWhatIsVerified(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	f := awstest.StartFunction(t, issuer.Env())
	bearer := issuer.Bearer("u2", nil)
	const (
		service   = `{"Kind":"service","UserID":""}`
		anonymous = `{"Kind":"anonymous","UserID":""}`
		user      = `{"Kind":"user","UserID":"u2"}`
		bad       = `{"errorMsg":"The bearer token is not valid (any more); sign in again."}`
		unknown   = `{"errorMsg":"Sign in first: send the header Authorization: Bearer TOKEN with a token of your identity provider."}`
	)
	for name, test := range map[string]struct {
		event map[string]any
		want  string
	}{
		"IAM caller":                    {awstest.ServiceEvent(t, request(t, "/", ""), "/"), service},
		"IAM caller with a bad bearer":  {awstest.ServiceEvent(t, request(t, "/", "Bearer garbage"), "/"), service},
		"IAM caller with a good bearer": {awstest.ServiceEvent(t, request(t, "/", bearer), "/"), service},
		"anonymous, Service API":        {awstest.AnonymousServiceEvent(t, request(t, "/", ""), "/"), anonymous},
		"anonymous, Client API":         {awstest.ClientEvent(t, request(t, "/", ""), "/"), anonymous},
		"anonymous, for known callers":  {awstest.ClientEvent(t, request(t, "/known", ""), "/known"), unknown},
		"bearer on the Client API":      {awstest.ClientEvent(t, request(t, "/known", bearer), "/known"), user},
		"bearer on the Service API":     {awstest.AnonymousServiceEvent(t, request(t, "/", bearer), "/"), user},
		"bad bearer":                    {awstest.ClientEvent(t, request(t, "/", "Bearer garbage"), "/"), bad},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := io.ReadAll(f.Invoke(test.event).Body)
			if err != nil || string(body) != test.want {
				t.Errorf("want %s, got %s, %v", test.want, body, err)
			}
		})
	}
}

func TestRefusalsAreCountedByReason(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	f := awstest.StartFunction(t, issuer.Env())
	issuer.Stop()
	for _, authorization := range []string{"Bearer garbage", issuer.Bearer("u1", nil), ""} {
		if _, err := io.Copy(io.Discard, f.Invoke(awstest.ClientEvent(t, request(t, "/known", authorization), "/known")).Body); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	for _, reason := range []string{"BadToken", "NotChecked", "NoToken"} {
		if got := f.Output(); strings.Count(got, `"Reason":"`+reason+`"`) != 1 {
			t.Errorf("want %s counted once, got %s", reason, got)
		}
	}
}

// failing are the function's errors below /fail, and what the log and the metrics must
// say of them.
var failing = map[string]struct {
	err            error
	lacking, limit string
}{
	"ssm-limit":      {fmt.Errorf("%w: %w", settings.ErrUnavailable, settings.ErrThrottled), "ParameterStoreLimit", "ParameterStore"},
	"in-other-words": {&httpjson.Error{Status: 503, Cause: fmt.Errorf("%w: %w", settings.ErrUnavailable, settings.ErrThrottled)}, "ParameterStoreLimit", "ParameterStore"},
	"on-verify":      {&httpjson.Error{Status: 500, Cause: fmt.Errorf("%w: %w", settings.ErrUnavailable, settings.ErrThrottled)}, "ParameterStoreLimit", "ParameterStore"},
	"issuer-limit":   {fmt.Errorf("%w: %w", identity.ErrUnavailable, identity.ErrThrottled), "IssuerLimit", "Issuer"},
	"ssm":            {settings.ErrUnavailable, "Settings", ""},
	"issuer":         {identity.ErrUnavailable, "Issuer", ""},
	"anything-else":  {httpjson.Errorf(503, "Not now."), "Other", ""},
	"a-defect":       {errors.New("defect"), "", ""},
	"another-answer": {httpjson.Errorf(502, "Not from Stream."), "", ""},
	"not-signed-in":  {errNotSignedIn, "", ""},
	"bad-token":      {identity.ErrBadToken, "", ""},
}

// The log says whose limit it is, so that the errors do not roll back a deployment.
func TestLimitsAreDistinguishedFromOtherFailures(t *testing.T) {
	f := awstest.StartFunction(t, nil)
	for name := range failing {
		if _, err := io.Copy(io.Discard, f.Invoke(awstest.ClientEvent(t, request(t, "/fail/"+name, ""), "/fail/"+name)).Body); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	type line struct{ RequestID, Route, Limit, Lacking string }
	byRequest := make(map[string]line) // the log line and the metrics of each
	for text := range strings.Lines(f.Output()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, `"limit":""`) {
			t.Errorf("want no field limit unless there is one, got %s", text)
		}
		both := byRequest[l.RequestID]
		byRequest[l.RequestID] = line{l.RequestID, both.Route + l.Route, both.Limit + l.Limit, both.Lacking + l.Lacking}
	}
	for _, got := range byRequest {
		if want := failing[strings.TrimPrefix(got.Route, "/fail/")]; got.Lacking != want.lacking || got.Limit != want.limit {
			t.Errorf("%s: want %q lacking and limit %q, got %q and %q", got.Route, want.lacking, want.limit, got.Lacking, got.Limit)
		}
	}
	if len(byRequest) != len(failing) {
		t.Errorf("want %d requests, got %d", len(failing), len(byRequest))
	}
}
