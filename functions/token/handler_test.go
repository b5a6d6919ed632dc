package token

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/standin"
)

const secret = "secret-for-tests"

// get returns h's answer to a GET with an Authorization field, if any.
func get(h http.Handler, path, authorization string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return awstest.Do(h, r)
}

// wantToken checks for a token of that user and returns its claims and text.
func wantToken(t testing.TB, response *http.Response, userID string) (jwt.MapClaims, string) {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("want status 201, got %d: %s", response.StatusCode, body)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: want no-store, got %q", got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
	var answer map[string]string
	if err := json.Unmarshal(body, &answer); err != nil || len(answer) != 2 || answer["userId"] != userID {
		t.Fatalf(`want {"userId": %q, "token": "…"}, got %s`, userID, body)
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	if _, err := parser.ParseWithClaims(answer["token"], claims, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
		t.Fatalf("token: %v", err)
	}
	if claims["user_id"] != userID {
		t.Errorf("user_id: want %q, got %v", userID, claims["user_id"])
	}
	return claims, answer["token"]
}

// clientFunction returns the function as users of an issuer reach it.
func clientFunction(t testing.TB) (http.Handler, *awstest.Issuer) {
	issuer := awstest.NewIssuer(t)
	return awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(issuer.Env())), issuer
}

func TestUserGetsATokenForThemselvesOnly(t *testing.T) {
	h, issuer := clientFunction(t)
	alice := issuer.Bearer("alice", nil)
	before := time.Now().Unix()
	claims, _ := wantToken(t, get(h, "/token/alice", alice), "alice")
	if issued, ok := claims["iat"].(float64); !ok || int64(issued) < before-5 || int64(issued) > time.Now().Unix()-5 {
		t.Errorf("iat: want 5 s before now, %d, got %v", before-5, claims["iat"])
	}
	if exp, ok := claims["exp"]; ok {
		t.Errorf("want no exp without a configured duration, got %v", exp)
	}
	for _, other := range []string{"bob", "Alice", "alice-", "%40alice"} {
		awstest.WantError(t, get(h, "/token/"+other, alice), http.StatusForbidden)
	}
}

func TestUserAsksByEitherIDOrAsMe(t *testing.T) {
	h, issuer := clientFunction(t)
	for claim, id := range map[string]string{
		"auth0|507f": "auth0@-7C507f", "a/b": "a@-2Fb", "..": "@-2E@-2E", "山": "@-E5@-B1@-B1", "@carol": "@carol", "me": "me", "alice": "alice",
	} {
		bearer := issuer.Bearer(claim, nil)
		for _, asked := range []string{"me", id, url.PathEscape(claim), strings.Replace(id, "a", "%61", 1)} {
			wantToken(t, get(h, "/token/"+asked, bearer), id)
		}
		awstest.WantError(t, get(h, "/token/Me", bearer), http.StatusForbidden)
	}
	// One user's id at the issuer is another user's id at Stream.
	wantToken(t, get(h, "/token/auth0@-7C507f", issuer.Bearer("auth0@-7C507f", nil)), "auth0@-40-7C507f")
	awstest.WantError(t, get(h, "/token/auth0@-7C507f", issuer.Bearer("auth0@", nil)), http.StatusForbidden)
}

func TestMeIsNoServicesUser(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(nil))
	for _, path := range []string{"/token/me", "/token/%6De"} {
		awstest.WantError(t, f.Invoke(awstest.ServiceEvent(t, httptest.NewRequest(http.MethodGet, path, nil), "/token/{userId}")), http.StatusBadRequest)
	}
}

func TestUnknownCallerIsUnauthorized(t *testing.T) {
	h, issuer := clientFunction(t)
	for _, authorization := range []string{
		"", "Basic YWxpY2U6cGFzc3dvcmQ=", "Bearer nonsense", issuer.Bearer("alice", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
	} {
		for _, path := range []string{"/token/alice", "/token/me"} {
			response := get(h, path, authorization)
			awstest.WantError(t, response, http.StatusUnauthorized)
			if got := response.Header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("WWW-Authenticate: want Bearer, got %q", got)
			}
		}
	}
}

func TestWithoutCredentialsNothingIsSigned(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	bearer := issuer.Bearer("alice", nil)
	blank := awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App("key", " \n")).Getenv(issuer.Env()))
	awstest.WantError(t, get(blank, "/token/alice", bearer), http.StatusServiceUnavailable)

	ssm := awstest.NewParameterStore(t, awstest.App("key", secret))
	ssm.Down(true)
	h := awstest.Handler(t, Build, ssm.Getenv(issuer.Env()))
	awstest.WantError(t, get(h, "/token/alice", bearer), http.StatusServiceUnavailable)
	ssm.Down(false)
	wantToken(t, get(h, "/token/alice", bearer), "alice")
}

// The function's own process, with the events of both APIs.
func TestServiceGetsATokenForAnybody(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	environment := issuer.Env()
	environment["EXPIRATION_TOKEN_DURATION"] = "90"
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(environment))
	const route = "/token/{userId}"
	service := func(path string) *http.Response {
		return f.Invoke(awstest.ServiceEvent(t, httptest.NewRequest(http.MethodGet, path, nil), route))
	}
	var tokens []string
	for path, userID := range map[string]string{
		"/token/alice":                       "alice",
		"/token/%40carol":                    "@carol",
		"/token/a_B-9":                       "a_B-9",
		"/token/" + strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		before := time.Now().Unix()
		claims, token := wantToken(t, service(path), userID)
		if exp, _ := claims["exp"].(float64); int64(exp) < before+90 || int64(exp) > time.Now().Unix()+90 {
			t.Errorf("exp: want 90 s from now, %d, got %v", before+90, exp)
		}
		tokens = append(tokens, token)
	}
	for _, path := range []string{"/token/a%20b", "/token/a.b", "/token/a%2Fb", "/token/a/b", "/token/%C3%A9", "/token/%2540", "/token/", "/token/" + strings.Repeat("x", 256)} {
		message := awstest.WantError(t, service(path), http.StatusBadRequest)
		if !strings.Contains(message, "@ _ -") {
			t.Errorf("%s: want a message that says which characters are allowed, got %q", path, message)
		}
	}

	r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
	r.Header.Set("Userid", "alice")
	awstest.WantError(t, f.Invoke(awstest.AnonymousServiceEvent(t, r, route)), http.StatusUnauthorized)
	awstest.WantError(t, f.Invoke(awstest.ClientEvent(t, r, route)), http.StatusUnauthorized)
	bearer := issuer.Bearer("alice", nil)
	r.Header.Set("Authorization", bearer)
	_, token := wantToken(t, f.Invoke(awstest.ClientEvent(t, r, route)), "alice")
	awstest.WantError(t, f.Invoke(map[string]any{"version": "2.0", "nonsense": secret}), http.StatusBadRequest)

	if err := f.Idle(t.Context()); err != nil { // it has logged by then
		t.Fatal(err)
	}
	f.Stop()
	log := f.Output()
	for name, hidden := range map[string]string{
		"token for a service": tokens[0], "token for a user": token, "bearer token": strings.TrimPrefix(bearer, "Bearer "), "secret": secret, "user": "alice",
	} {
		if strings.Contains(log, hidden) {
			t.Errorf("want no %s in the log, got\n%s", name, log)
		}
	}
	if want := `"callerArn":"arn:aws:sts::123456789012:assumed-role/checkout/1"`; !strings.Contains(log, want) { // as awstest has it
		t.Errorf("want %s in the log, got %s", want, log)
	}
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(nil))
	for _, method := range []string{http.MethodPost, http.MethodHead} {
		response := awstest.Do(h, httptest.NewRequest(method, "/token/alice", nil))
		if got := response.Header.Get("Allow"); got != http.MethodGet {
			t.Errorf("%s: Allow: want GET, got %q", method, got)
		}
		awstest.WantError(t, response, http.StatusMethodNotAllowed)
	}
	for _, path := range []string{"/", "/token", "/tokens/alice", "/x/token/alice"} {
		awstest.WantError(t, get(h, path, ""), http.StatusNotFound)
	}
}

func BenchmarkToken(b *testing.B) {
	h, issuer := clientFunction(b)
	for name, authorization := range map[string]string{"user": issuer.Bearer("alice", nil), "anonymous": ""} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				get(h, "/token/alice", authorization)
			}
		})
	}
}

func TestATeamsOwnFunctionDecidesWhoGetsAToken(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	const arn = "arn:aws:lambda:eu-central-1:123456789012:function:sign-in"
	answers := map[string]string{"alice": `{"userId":"4711","expiresIn":60}`, "bob": `{"allow":false,"message":"Renew your plan."}`, "carol": `{"role":"admin"}`}
	asked := 0
	function := httptest.NewServer(&standin.Lambda{ARN: arn, Function: func(_ context.Context, payload []byte) ([]byte, error) {
		var event struct {
			Claims map[string]any
			Route  string
		}
		asked++
		if err := json.Unmarshal(payload, &event); err != nil || event.Route != "GET /token/{userId}" {
			return nil, fmt.Errorf("want claims and the route, got %s", payload)
		}
		return []byte(answers[event.Claims["sub"].(string)]), nil
	}})
	defer function.Close()
	environment := issuer.Env()
	environment["SIGN_IN_FUNCTION_ARN"], environment["AWS_ENDPOINT_URL_LAMBDA"] = arn, function.URL
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(environment))
	alice := issuer.Bearer("alice", nil)
	for _, asked := range []string{"me", "alice", "4711"} {
		claims, _ := wantToken(t, get(h, "/token/"+asked, alice), "4711")
		if life := claims["exp"].(float64) - claims["iat"].(float64); life > 66 {
			t.Errorf("want a token of a minute, got %v s", life)
		}
	}
	if asked != 1 {
		t.Errorf("want the function asked once, got %d", asked)
	}
	response := get(h, "/token/me", issuer.Bearer("bob", nil))
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "Renew your plan.") {
		t.Errorf("want 403 with the function's message, got %d %s", response.StatusCode, body)
	}
	awstest.WantError(t, get(h, "/token/me", issuer.Bearer("carol", nil)), http.StatusServiceUnavailable)
	awstest.WantError(t, get(h, "/token/me", "Bearer nonsense"), http.StatusUnauthorized)
}

func TestClaimsThatUserFieldsLackAreCounted(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	environment := issuer.Env()
	environment["SYNC_USERS"], environment["STREAM_BASE_URL"] = "true", "http://127.0.0.1:1" // not reached: tokens are issued anyway
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(environment))
	for user, claims := range map[string]map[string]any{
		"alice": {"name": "Alice", "picture": "https://example.com/alice.png"},
		"bob":   {"name": "Bob"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/token/me", nil)
		r.Header.Set("Authorization", issuer.Bearer(user, claims))
		wantToken(t, f.Invoke(awstest.ClientEvent(t, r, "/token/{userId}")), user)
	}
	if err := f.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	for _, want := range []string{`"FieldsMissing":1`, `"claimsMissing":"picture"`} {
		if n := strings.Count(f.Output(), want); n != 1 {
			t.Errorf("want %s once, got %d times in %s", want, n, f.Output())
		}
	}
}
