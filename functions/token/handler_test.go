package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
)

const secret = "secret-for-tests"

// do sends a GET with an Authorization field, if any, to h.
func do(h http.Handler, method, path, authorization string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// wantToken checks for a token of that user and returns its claims.
func wantToken(t testing.TB, response *http.Response, userID string) jwt.MapClaims {
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
	return claims
}

// clientFunction is the function as users of an issuer reach it.
func clientFunction(t testing.TB) (http.Handler, *awstest.Issuer) {
	issuer := awstest.NewIssuer(t)
	return awstest.Handler(t, build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(issuer.Env())), issuer
}

// serviceFunction is the function as callers that API Gateway authenticated
// reach it: it returns the answer to GET path.
func serviceFunction(t testing.TB, environment map[string]string) func(path string) *http.Response {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(environment))
	return func(path string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		return f.Invoke(awstest.ServiceEvent(t, r, "/token/{userId}"))
	}
}

func TestUserGetsATokenForThemselves(t *testing.T) {
	h, issuer := clientFunction(t)
	before := time.Now().Unix()
	claims := wantToken(t, do(h, http.MethodGet, "/token/alice", issuer.Bearer("alice", nil)), "alice")
	issued, ok := claims["iat"].(float64)
	if !ok || int64(issued) < before-5 || int64(issued) > time.Now().Unix()-5 {
		t.Errorf("iat: want 5 s before now, %d, got %v", before-5, claims["iat"])
	}
	if issued != float64(int64(issued)) {
		t.Errorf("iat: want a whole second, got %v", issued)
	}
	if exp, ok := claims["exp"]; ok {
		t.Errorf("want no exp where no duration is configured, got %v", exp)
	}
}

func TestTokenExpiresAfterTheConfiguredDuration(t *testing.T) {
	get := serviceFunction(t, map[string]string{"EXPIRATION_TOKEN_DURATION": "90"})
	before := time.Now().Unix()
	exp, _ := wantToken(t, get("/token/alice"), "alice")["exp"].(float64)
	if int64(exp) < before+90 || int64(exp) > time.Now().Unix()+90 {
		t.Errorf("exp: want 90 s from now, %d, got %v", before+90, exp)
	}
}

func TestEmptyDurationMeansNoExpiry(t *testing.T) {
	get := serviceFunction(t, map[string]string{"EXPIRATION_TOKEN_DURATION": ""})
	if exp, ok := wantToken(t, get("/token/alice"), "alice")["exp"]; ok {
		t.Errorf("want no exp, got %v", exp)
	}
}

func TestUserGetsNoTokenForAnother(t *testing.T) {
	h, issuer := clientFunction(t)
	for _, other := range []string{"bob", "Alice", "alice-", "%40alice"} {
		awstest.WantError(t, do(h, http.MethodGet, "/token/"+other, issuer.Bearer("alice", nil)), http.StatusForbidden)
	}
}

func TestEscapedIDIsTheIDItStandsFor(t *testing.T) {
	h, issuer := clientFunction(t)
	wantToken(t, do(h, http.MethodGet, "/token/%61lice", issuer.Bearer("alice", nil)), "alice")
	wantToken(t, do(h, http.MethodGet, "/token/%40carol", issuer.Bearer("@carol", nil)), "@carol")
}

func TestUserIDClaimIsTheConfiguredOne(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	environment := issuer.Env()
	environment["USER_ID_CLAIM"] = "chat_id"
	h := awstest.Handler(t, build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(environment))
	bearer := issuer.Bearer("auth0|1", map[string]any{"chat_id": "alice"})
	wantToken(t, do(h, http.MethodGet, "/token/alice", bearer), "alice")
	awstest.WantError(t, do(h, http.MethodGet, "/token/auth0", bearer), http.StatusForbidden)
}

func TestUserAsksByEitherIDOrAsMe(t *testing.T) {
	h, issuer := clientFunction(t)
	for claim, id := range map[string]string{"auth0|507f": "auth0@-7C507f", "a/b": "a@-2Fb", "..": "@-2E@-2E", "山": "@-E5@-B1@-B1", "me": "me", "alice": "alice"} {
		bearer := issuer.Bearer(claim, nil)
		for _, asked := range []string{"me", id, url.PathEscape(claim), url.PathEscape(id)} {
			wantToken(t, do(h, http.MethodGet, "/token/"+asked, bearer), id)
		}
		awstest.WantError(t, do(h, http.MethodGet, "/token/Me", bearer), http.StatusForbidden)
	}
	// What one user's issuer calls them is what Stream calls another.
	wantToken(t, do(h, http.MethodGet, "/token/auth0@-7C507f", issuer.Bearer("auth0@-7C507f", nil)), "auth0@-40-7C507f")
	awstest.WantError(t, do(h, http.MethodGet, "/token/auth0@-7C507f", issuer.Bearer("auth0@", nil)), http.StatusForbidden)
	awstest.WantError(t, do(h, http.MethodGet, "/token/me", ""), http.StatusUnauthorized)
}

func TestWithoutMappingAClaimThatStreamRefusesIsABadRequest(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	environment := issuer.Env()
	environment["USER_ID_MAPPING"] = "none"
	h := awstest.Handler(t, build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(environment))
	for _, asked := range []string{"me", "auth0%7C1"} {
		awstest.WantError(t, do(h, http.MethodGet, "/token/"+asked, issuer.Bearer("auth0|1", nil)), http.StatusBadRequest)
	}
	wantToken(t, do(h, http.MethodGet, "/token/me", issuer.Bearer("@-", nil)), "@-")
}

func TestNoBearerTokenIsUnauthorized(t *testing.T) {
	h, _ := clientFunction(t)
	for _, authorization := range []string{"", "Basic YWxpY2U6cGFzc3dvcmQ=", "alice"} {
		response := do(h, http.MethodGet, "/token/alice", authorization)
		awstest.WantError(t, response, http.StatusUnauthorized)
		if got := response.Header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("WWW-Authenticate: want Bearer, got %q", got)
		}
	}
}

func TestBadBearerTokenIsUnauthorized(t *testing.T) {
	h, issuer := clientFunction(t)
	stranger := awstest.NewIssuer(t)
	for name, authorization := range map[string]string{
		"no token":         "Bearer ",
		"nonsense":         "Bearer nonsense",
		"expired":          issuer.Bearer("alice", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"not yet valid":    issuer.Bearer("alice", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"another audience": issuer.Bearer("alice", map[string]any{"aud": "another-app"}),
		"another issuer":   stranger.Bearer("alice", nil),
		"another key":      stranger.Bearer("alice", map[string]any{"iss": issuer.URL}),
	} {
		response := do(h, http.MethodGet, "/token/alice", authorization)
		awstest.WantError(t, response, http.StatusUnauthorized)
		if got := response.Header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("%s: WWW-Authenticate: want Bearer, got %q", name, got)
		}
	}
}

func TestIssuerThatDoesNotAnswerIsUnavailable(t *testing.T) {
	h, issuer := clientFunction(t)
	bearer := issuer.Bearer("alice", nil)
	issuer.Stop()
	awstest.WantError(t, do(h, http.MethodGet, "/token/alice", bearer), http.StatusServiceUnavailable)
}

func TestWithoutIssuerNobodyIsKnown(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	h := awstest.Handler(t, build, awstest.NewParameterStore(t, awstest.App("key", secret)).Getenv(nil))
	awstest.WantError(t, do(h, http.MethodGet, "/token/alice", issuer.Bearer("alice", nil)), http.StatusUnauthorized)
}

func TestNoHeaderMakesACallerKnown(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(awstest.NewIssuer(t).Env()))
	r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
	for name, value := range map[string]string{
		"Userid":                        "alice",
		"X-Amzn-Userid":                 "alice",
		"X-Amzn-Oidc-Identity":          "alice",
		"X-Amz-Security-Token":          "token",
		"X-Apigateway-Event":            `{"requestContext":{"identity":{"userArn":"arn:aws:iam::1:user/a"}}}`,
		"X-Golambdaproxy-Apigw-Context": `{"identity":{"userArn":"arn:aws:iam::1:user/a"}}`,
		"X-Forwarded-User":              "alice",
	} {
		r.Header.Set(name, value)
	}
	for name, event := range map[string]any{
		"REST API": awstest.AnonymousServiceEvent(t, r, "/token/{userId}"),
		"HTTP API": awstest.ClientEvent(t, r, "/token/{userId}"),
	} {
		t.Run(name, func(t *testing.T) { awstest.WantError(t, f.Invoke(event), http.StatusUnauthorized) })
	}
}

func TestServiceGetsATokenForAnybody(t *testing.T) {
	get := serviceFunction(t, nil)
	for path, userID := range map[string]string{
		"/token/alice":                       "alice",
		"/token/me":                          "me",
		"/token/%40carol":                    "@carol",
		"/token/@carol":                      "@carol",
		"/token/a_B-9":                       "a_B-9",
		"/token/" + strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		wantToken(t, get(path), userID)
	}
}

func TestUserIDThatStreamRefusesIsABadRequest(t *testing.T) {
	get := serviceFunction(t, nil)
	for _, path := range []string{
		"/token/a%20b", "/token/a+b", "/token/a.b", "/token/a%2Fb", "/token/a/b", "/token/%C3%A9", "/token/a%00",
		"/token/a%0A", "/token/%2540", "/token/", "/token/" + strings.Repeat("x", 256),
	} {
		message := awstest.WantError(t, get(path), http.StatusBadRequest)
		if !strings.Contains(message, "@ _ -") {
			t.Errorf("%s: want a message that says which characters are allowed, got %q", path, message)
		}
	}
}

func TestOnlyGetIsAllowed(t *testing.T) {
	h, _ := clientFunction(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead} {
		response := do(h, method, "/token/alice", "")
		if response.Header.Get("Allow") != http.MethodGet {
			t.Errorf("%s: Allow: want GET, got %q", method, response.Header.Get("Allow"))
		}
		awstest.WantError(t, response, http.StatusMethodNotAllowed)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h, _ := clientFunction(t)
	for _, path := range []string{"/", "/token", "/tokens/alice", "/x/token/alice"} {
		awstest.WantError(t, do(h, http.MethodGet, path, ""), http.StatusNotFound)
	}
}

func TestNoTokenInTheLog(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(issuer.Env()))
	r := httptest.NewRequest(http.MethodGet, "/token/alice", nil)
	bearer := issuer.Bearer("alice", nil)
	r.Header.Set("Authorization", bearer)
	body, _ := io.ReadAll(f.Invoke(awstest.ClientEvent(t, r, "/token/{userId}")).Body)
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		t.Fatalf("want a token, got %s", body)
	}
	awstest.WantError(t, f.Invoke(map[string]any{"version": "2.0", "nonsense": secret}), http.StatusBadRequest)
	for name, hidden := range map[string]string{
		"user token": answer.Token, "bearer token": strings.TrimPrefix(bearer, "Bearer "), "secret": secret, "user": "alice",
	} {
		if strings.Contains(f.Output(), hidden) {
			t.Errorf("want no %s in the log, got\n%s", name, f.Output())
		}
	}
}

func TestLogNamesTheServiceThatGotAToken(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, awstest.App("key", secret)).Env(nil))
	event := awstest.ServiceEvent(t, httptest.NewRequest(http.MethodGet, "/token/alice", nil), "/token/{userId}")
	arn := event["requestContext"].(map[string]any)["identity"].(map[string]any)["userArn"].(string)
	f.Invoke(event)
	if err := f.Idle(t.Context()); err != nil { // it has logged by then
		t.Fatal(err)
	}
	f.Stop()
	if want := `"callerArn":"` + arn + `"`; arn == "" || !strings.Contains(f.Output(), want) || strings.Contains(f.Output(), "alice") {
		t.Errorf("want %s, and no user, in the log, got %s", want, f.Output())
	}
}

func BenchmarkToken(b *testing.B) {
	h, issuer := clientFunction(b)
	bearer := issuer.Bearer("alice", nil)
	for name, authorization := range map[string]string{"user": bearer, "anonymous": ""} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do(h, http.MethodGet, "/token/alice", authorization)
			}
		})
	}
}
