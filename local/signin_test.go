package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/issuer"
)

func TestAppSignsInWithPKCE(t *testing.T) { synctest.Test(t, testSignIn) }

func testSignIn(t *testing.T) {
	i := &issuer.Issuer{URL: "http://issuer.example", Audience: "app", Trusted: func(host string) bool { return host == "localhost" || host == "127.0.0.1" }}
	do := func(method, path string, form url.Values, bearer any) *http.Response {
		r := httptest.NewRequest(method, i.URL+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", fmt.Sprint("Bearer ", bearer))
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		return w.Result()
	}
	const verifier = "a-verifier-of-at-least-forty-three-characters"
	sum := sha256.Sum256([]byte(verifier))
	authorize := func(change ...string) *http.Response {
		q := url.Values{
			"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"http://localhost:5173/cb?x=1"}, "state": {"s"}, "nonce": {"n"}, "scope": {"openid"},
			"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "login_hint": {"bob"}, "claims": {`{"plan":"gold"}`},
		}
		for j := 0; j < len(change); j += 2 {
			q.Set(change[j], change[j+1])
		}
		return do("GET", "/authorize?"+q.Encode(), nil, nil)
	}
	back := func(r *http.Response) url.Values {
		u, _ := url.Parse(r.Header.Get("Location"))
		return u.Query()
	}
	token := func(form url.Values) (status int, answer map[string]any) {
		response := do("POST", "/token", form, nil)
		_ = json.NewDecoder(response.Body).Decode(&answer)
		return response.StatusCode, answer
	}
	claims := func(v any) (claims map[string]any) {
		text, _ := base64.RawURLEncoding.DecodeString(strings.Split(v.(string), ".")[1])
		_ = json.Unmarshal(text, &claims)
		return claims
	}

	for name, change := range map[string][]string{
		"no PKCE": {"code_challenge", ""}, "implicit flow": {"response_type", "token"}, "broken claims": {"claims", "{"}, "nobody, silently": {"login_hint", "", "prompt", "none"},
	} {
		if q := back(authorize(change...)); q.Get("error") == "" || q.Get("state") != "s" || q.Get("code") != "" {
			t.Errorf("%s: want an error for the app, got %v", name, q)
		}
	}
	for _, foreign := range []string{"https://evil.example/cb", "javascript:alert(1)", ""} {
		if r := authorize("redirect_uri", foreign); r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
			t.Errorf("redirect to %q: want 400, got %d", foreign, r.StatusCode)
		}
	}
	r := authorize("login_hint", "", "claims", `{"plan":"</textarea>"}`)
	page, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.Contains(string(page), `>{&#34;plan&#34;:&#34;&lt;/textarea&gt;&#34;}</textarea>`) {
		t.Errorf("want the page with the claims, got %d %s", r.StatusCode, page)
	}

	q := back(authorize())
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"web"}, "code": {q.Get("code")}, "redirect_uri": {"http://localhost:5173/cb?x=1"}, "code_verifier": {verifier}}
	if q.Get("state") != "s" || q.Get("x") != "1" || q.Get("iss") != i.URL {
		t.Errorf("want state, iss and the app's own query, got %v", q)
	}
	status, got := token(form)
	if status != 200 || got["token_type"] != "Bearer" {
		t.Fatalf("want tokens, got %d %v", status, got)
	}
	if access := claims(got["access_token"]); access["sub"] != "bob" || access["aud"] != "app" || access["plan"] != "gold" || access["nonce"] != nil {
		t.Errorf("want an access token for the service, got %v", access)
	}
	if id := claims(got["id_token"]); id["aud"] != "web" || id["nonce"] != "n" || id["sub"] != "bob" {
		t.Errorf("want an ID token for the app, got %v", id)
	}
	if status, again := token(form); status != 400 || again["error"] != "invalid_grant" {
		t.Errorf("want a code to work once, got %d %v", status, again)
	}
	form.Set("code", back(authorize()).Get("code"))
	form.Set("code_verifier", "another")
	if status, got := token(form); status != 400 {
		t.Errorf("want another's code refused, got %d %v", status, got)
	}
	time.Sleep(time.Hour)
	status, fresh := token(url.Values{"grant_type": {"refresh_token"}, "client_id": {"web"}, "refresh_token": {got["refresh_token"].(string)}})
	if status != 200 || claims(fresh["access_token"])["plan"] != "gold" || fresh["refresh_token"] == got["refresh_token"] {
		t.Errorf("want fresh tokens, got %d %v", status, fresh)
	}
	if first, later := claims(got["id_token"])["auth_time"], claims(fresh["id_token"])["auth_time"]; later != first { // clients compare them
		t.Errorf("want the time of the sign-in in each ID token, got %v and, an hour later, %v", first, later)
	}
	var info map[string]any
	if json.NewDecoder(do("GET", "/userinfo", nil, fresh["access_token"]).Body).Decode(&info) != nil || info["sub"] != "bob" || info["name"] != "bob" || info["plan"] != "gold" {
		t.Errorf("want bob's claims, got %v", info)
	}
	if r := do("GET", "/userinfo", nil, "nonsense"); r.StatusCode != 401 {
		t.Errorf("want 401 without a token, got %d", r.StatusCode)
	}
	if r := do("GET", "/logout?post_logout_redirect_uri=http://localhost:5173/&state=x", nil, nil); r.Header.Get("Location") != "http://localhost:5173/?state=x" {
		t.Errorf("want the browser sent back, got %v", r.Header)
	}
}
