package issuer

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/shared/httpjson"
)

// A grant is what somebody chose on the sign-in page. Its code works once, a refresh
// token until it is used.
type grant struct {
	user, client, redirect, challenge, nonce, scope string
	claims                                          map[string]any
	code                                            bool // rather than a refresh token
	at, expires                                     time.Time
}

// AccessLife is how long a token from the sign-in page is valid: a client meets its end.
const AccessLife = time.Hour

// signInPage has CLAIMS where those of the query go. No html/template: the linker keeps
// every method of every type for it, 11 MB in the tests of a function.
//
//go:embed signin.html
var signInPage string

// endpoints are what the metadata says about signing in.
func endpoints(base string) map[string]any {
	return map[string]any{
		"issuer": base, "jwks_uri": base + "/.well-known/jwks.json", "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token",
		"userinfo_endpoint": base + "/userinfo", "end_session_endpoint": base + "/logout",
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query", "fragment"},
		"grant_types_supported": []string{"authorization_code", "refresh_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "scopes_supported": []string{"openid", "profile", "email", "offline_access"},
		"code_challenge_methods_supported": []string{"S256"}, "claims_supported": []string{"sub", "name", "email"},
		"token_endpoint_auth_methods_supported": []string{"none", "client_secret_basic", "client_secret_post"},
	}
}

// authorize shows the page, or with login_hint signs in at once, and sends the browser
// back with a code.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case err != nil || !i.mayReturn(back):
		http.Error(w, "redirect_uri is not an address of this machine, of -allow-host or of an app; correct it", http.StatusBadRequest)
		return
	case q.Get("client_id") == "":
		http.Error(w, "client_id is missing: any text will do", http.StatusBadRequest)
		return
	}
	answer := url.Values{"iss": {i.base(r)}}
	if state := q.Get("state"); state != "" {
		answer.Set("state", state)
	}
	refuse := func(code, why string) { answer.Set("error", code); answer.Set("error_description", why) }
	user := cmp.Or(r.PostFormValue("user"), q.Get("login_hint"))
	claims, err := parseClaims(cmp.Or(r.PostFormValue("claims"), q.Get("claims")))
	switch {
	case q.Get("response_type") != "code":
		refuse("unsupported_response_type", "use response_type=code")
	case q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "":
		refuse("invalid_request", "use PKCE: code_challenge with code_challenge_method=S256")
	case err != nil:
		refuse("invalid_request", err.Error())
	case user == "" && q.Get("prompt") == "none":
		refuse("login_required", "nobody is signed in")
	case user == "":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
		_, _ = io.WriteString(w, strings.Replace(signInPage, "CLAIMS", html.EscapeString(q.Get("claims")), 1))
		return
	default:
		answer.Set("code", i.keep(grant{
			user: user, client: q.Get("client_id"), redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), nonce: q.Get("nonce"),
			scope: q.Get("scope"), claims: claims, code: true, at: time.Now(), expires: time.Now().Add(time.Minute),
		}))
	}
	if q.Get("response_mode") == "fragment" {
		back.Fragment, answer = answer.Encode(), nil
	}
	redirect(w, back, answer)
}

// redirect sends a browser to an address, with more in its query.
func redirect(w http.ResponseWriter, to *url.URL, more url.Values) {
	query := to.Query()
	maps.Copy(query, more)
	to.RawQuery = query.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusSeeOther)
}

// mayReturn reports whether a browser may be sent to an address with a code.
func (i *Issuer) mayReturn(back *url.URL) bool {
	switch back.Scheme {
	case "http", "https":
		return i.Trusted == nil || i.Trusted(back.Hostname())
	case "", "javascript", "data", "file", "vbscript", "blob":
		return false
	}
	return true // an app's own scheme
}

func parseClaims(text string) (claims map[string]any, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		return nil, errors.New(`claims is not a JSON object such as {"email": "a@b.c"}`)
	}
	// OpenID Connect's own parameter of this name asks for claims by their names.
	delete(claims, "id_token")
	delete(claims, "userinfo")
	return claims, nil
}

func (i *Issuer) keep(g grant) (secret string) {
	secret = rand.Text()
	i.grants.Store(secret, g)
	return secret
}

func (i *Issuer) take(secret string) (g grant, ok bool) {
	kept, _ := i.grants.LoadAndDelete(secret)
	g, ok = kept.(grant)
	return g, ok && time.Now().Before(g.expires)
}

// token gives tokens for a code or a refresh token.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(code, why string) {
		_ = httpjson.Write(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": why})
	}
	client, _, _ := r.BasicAuth()
	client = cmp.Or(r.PostFormValue("client_id"), client)
	kind := r.PostFormValue("grant_type")
	if kind != "authorization_code" && kind != "refresh_token" {
		refuse("unsupported_grant_type", "use authorization_code or refresh_token")
		return
	}
	g, ok := i.take(cmp.Or(r.PostFormValue("code"), r.PostFormValue("refresh_token")))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case !ok || g.code != (kind == "authorization_code") || client != "" && client != g.client:
		refuse("invalid_grant", "the code or refresh token is unknown, used, expired or another client's")
		return
	case g.code && r.PostFormValue("redirect_uri") != g.redirect:
		refuse("invalid_grant", "redirect_uri is not the one of the sign-in")
		return
	case g.code && base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge:
		refuse("invalid_grant", "code_verifier does not match code_challenge")
		return
	}
	g.code, g.redirect, g.challenge = false, "", ""
	g.expires = time.Now().Add(30 * 24 * time.Hour)
	base := i.base(r)
	changes := map[string]any{"iss": base, "exp": time.Now().Add(AccessLife).Unix(), "client_id": g.client, "scope": g.scope}
	maps.Copy(changes, g.claims)
	access := i.Bearer(g.user, changes)
	changes = map[string]any{"iss": base, "aud": g.client, "auth_time": g.at.Unix(), "name": g.user}
	if g.nonce != "" {
		changes["nonce"] = g.nonce
	}
	maps.Copy(changes, g.claims)
	_ = httpjson.Write(w, http.StatusOK, map[string]any{
		"access_token": access, "id_token": i.Bearer(g.user, changes), "refresh_token": i.keep(g), "token_type": "Bearer", "expires_in": int(AccessLife.Seconds()), "scope": g.scope,
	})
}

// userInfo answers with the claims of the bearer's token.
func (i *Issuer) userInfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims := jwt.MapClaims{}
	key := func(*jwt.Token) (any, error) { return key().Public(), nil }
	if _, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"})).ParseWithClaims(token, claims, key); err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "the bearer token is not this issuer's or has expired", http.StatusUnauthorized)
		return
	}
	for _, name := range []string{"iss", "aud", "exp", "iat", "client_id", "scope"} {
		delete(claims, name)
	}
	claims["name"] = cmp.Or(claims["name"], claims["sub"])
	_ = httpjson.Write(w, http.StatusOK, claims)
}

// logout sends the browser back: nobody is signed in here for longer than a request.
func (i *Issuer) logout(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(r.FormValue("post_logout_redirect_uri"))
	if err != nil || back.String() == "" || !i.mayReturn(back) {
		http.Error(w, "Signed out.", http.StatusOK)
		return
	}
	state := url.Values{}
	if v := r.FormValue("state"); v != "" {
		state.Set("state", v)
	}
	redirect(w, back, state)
}
