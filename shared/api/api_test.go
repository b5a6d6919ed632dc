package api

import (
	"context"
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

// TestMain makes the test binary a function, where a test starts one, that
// answers with who calls.
func TestMain(m *testing.M) {
	awstest.Main(m, func() {
		lambdahttp.Main(func(_ context.Context, getenv func(string) string) (http.Handler, error) {
			callers, err := identity.FromEnv(getenv)
			return HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				who := Caller
				if r.URL.Path == "/known" {
					who = KnownCaller
				}
				caller, err := who(r, callers)
				if err != nil {
					return err
				}
				return httpjson.Write(w, http.StatusOK, map[string]any{"Kind": caller.Kind, "UserID": caller.UserID})
			}), err
		})
	})
}

func TestErrorsOfSharedPackagesHaveTheirAnswers(t *testing.T) {
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

// forged are header fields with which somebody might try to be known.
var forged = map[string]string{
	"userid": "u1", "X-User-Id": "u1", "X-Amzn-Oidc-Identity": "u1", "X-Amzn-Iam-User-Arn": "arn:aws:iam::1:user/x",
	"X-GoLambdaProxy-ApiGw-Context": `{"identity":{"userArn":"arn:aws:iam::1:user/x"},"authorizer":{"iam":{"userArn":"arn:aws:iam::1:user/x"}}}`,
	"X-Forwarded-User":              "u1", "Cookie": "token=u1", "Proxy-Authorization": "Bearer x",
}

// request is a GET with forged fields and an Authorization field, if any.
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

func TestCallersAreKnownByWhatIsVerifiedAlone(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	f := awstest.StartFunction(t, issuer.Env())
	bearer := issuer.Bearer("u2", nil)
	const (
		service   = `{"Kind":"service","UserID":""}`
		anonymous = `{"Kind":"anonymous","UserID":""}`
		user      = `{"Kind":"user","UserID":"u2"}`
		bad       = `{"errorMsg":"The bearer token is not valid (any more); sign in again."}`
		unknown   = `{"errorMsg":"Sign in first: send an Authorization header with a bearer token of your identity provider."}`
	)
	for name, test := range map[string]struct {
		event map[string]any
		want  string
	}{
		"IAM caller":                    {awstest.ServiceEvent(t, request(t, "/", ""), "/"), service},
		"IAM caller with a bad bearer":  {awstest.ServiceEvent(t, request(t, "/", "Bearer garbage"), "/"), service},
		"IAM caller with a good bearer": {awstest.ServiceEvent(t, request(t, "/", bearer), "/"), service},
		"nobody on the Service API":     {awstest.AnonymousServiceEvent(t, request(t, "/", ""), "/"), anonymous},
		"nobody on the Client API":      {awstest.ClientEvent(t, request(t, "/", ""), "/"), anonymous},
		"nobody where known ones may":   {awstest.ClientEvent(t, request(t, "/known", ""), "/known"), unknown},
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
	_ = f.OS.Kill()
	<-f.Ended()
	for _, reason := range []string{"BadToken", "NotChecked", "NoToken"} {
		if got := f.Output(); strings.Count(got, `"Reason":"`+reason+`"`) != 1 {
			t.Errorf("want %s counted once, got %s", reason, got)
		}
	}
}
