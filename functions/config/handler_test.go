package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
)

// ownError is the error object where none is configured.
var ownError = string(notKnown)

// get sends a GET with an Authorization field, if any, to h.
func get(h http.Handler, path, authorization string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// object returns the JSON object of a good answer, its members as text.
func object(t testing.TB, response *http.Response) map[string]json.RawMessage {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("want 200 and a JSON object, got %d %s", response.StatusCode, body)
	}
	// A token is never cached, and neither is an answer to one that does not count.
	if got := response.Header.Get("Cache-Control"); got != "no-store" && (answer[authenticationKey] != nil || got != forAll) {
		t.Errorf("Cache-Control: want no-store, or %q without a token, got %q", forAll, got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
	return answer
}

const forAll = "public, max-age=60"

// wantJSON checks for a good answer with this JSON object.
func wantJSON(t testing.TB, response *http.Response, want string) {
	t.Helper()
	got, err := json.Marshal(object(t, response))
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal([]byte(want), &a) != nil || json.Unmarshal(got, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("want %s, got %s", want, got)
	}
}

// wantAuthentication checks for what it takes to connect as that user, and
// returns the rest of the answer.
func wantAuthentication(t testing.TB, response *http.Response, userID string) map[string]json.RawMessage {
	t.Helper()
	answer := object(t, response)
	var got map[string]string
	if err := json.Unmarshal(answer[authenticationKey], &got); err != nil || len(got) != 3 || got["apiKey"] != key || got["userId"] != userID {
		t.Fatalf("want authentication with apiKey, userId %q and userToken, got %s", userID, answer[authenticationKey])
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	if _, err := parser.ParseWithClaims(got["userToken"], claims, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
		t.Errorf("userToken: %v", err)
	}
	if claims["user_id"] != userID {
		t.Errorf("user_id: want %q, got %v", userID, claims["user_id"])
	}
	delete(answer, authenticationKey)
	return answer
}

func clientFunction(t testing.TB, configs, environment map[string]string) (http.Handler, *awstest.Issuer) {
	issuer := awstest.NewIssuer(t)
	env := issuer.Env()
	for name, value := range environment {
		env[name] = value
	}
	return awstest.Handler(t, build, awstest.NewParameterStore(t, parameters(configs)).Getenv(env)), issuer
}

// serviceFunction is the function as callers that API Gateway authenticated
// reach it: it returns the answer to a request with these header fields.
func serviceFunction(t testing.TB, configs, environment map[string]string) func(http.Header) *http.Response {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, parameters(configs)).Env(environment))
	return func(header http.Header) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/config?clientType=web", nil)
		for name, values := range header {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
		return f.Invoke(awstest.ServiceEvent(t, r, "/config"))
	}
}

func TestKnownCallerGetsConfigurationAndAuthentication(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"theme":{"name":"dark"},"limit":3}`}, nil)
	rest := wantAuthentication(t, get(h, "/config?clientType=web", issuer.Bearer("alice", nil)), "alice")
	if len(rest) != 2 || string(rest["theme"]) != `{"name":"dark"}` || string(rest["limit"]) != "3" {
		t.Errorf("want theme and limit besides, got %s", rest)
	}
}

func TestUnknownCallerGetsConfigurationAndErrorObject(t *testing.T) {
	h, _ := clientFunction(t, map[string]string{"web": `{"theme":"dark"}`}, nil)
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"theme":"dark","errors":`+ownError+`}`)
	var own map[string]string
	if err := json.Unmarshal(notKnown, &own); err != nil || len(own) != 2 || own["title"] == "" || own["message"] == "" {
		t.Errorf("want an error object with title and message, got %s", notKnown)
	}
}

func TestConfiguredErrorObjectIsForUnknownCallers(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"errors":{"title":"Hi","code":7}}`}, nil)
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":{"title":"Hi","code":7}}`)
	if rest := wantAuthentication(t, get(h, "/config?clientType=web", issuer.Bearer("alice", nil)), "alice"); len(rest) != 0 {
		t.Errorf("want no error object for a known caller, got %s", rest)
	}
}

func TestAnswerToNobodyMayBeCached(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"theme":"dark"}`, "tv": `{}`}, nil)
	ask := func(path string, header http.Header) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header = header
		return awstest.Do(h, r)
	}
	first := ask("/config?clientType=web", nil)
	tag := first.Header.Get("ETag")
	if !regexp.MustCompile(`^"[\w-]{16}"$`).MatchString(tag) || first.Header.Get("Cache-Control") != forAll || first.Header.Get("Vary") != "Authorization, Origin" {
		t.Errorf("want an answer to keep for a minute, for requests without credentials of one origin, got %v", first.Header)
	}
	if again := ask("/config?clientType=web", nil).Header.Get("ETag"); again != tag {
		t.Errorf("want tag %s for the same answer, got %s", tag, again)
	}
	if other := ask("/config?clientType=tv", nil).Header.Get("ETag"); other == tag {
		t.Errorf("want another tag for another answer, got %s", other)
	}
	for have, status := range map[string]int{
		tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200, strings.Trim(tag, `"`): 200,
	} {
		got := ask("/config?clientType=web", http.Header{"If-None-Match": {have}})
		body, _ := io.ReadAll(got.Body)
		if got.StatusCode != status || (len(body) == 0) != (status == 304) || got.Header.Get("ETag") != tag || got.Header.Get("Cache-Control") != forAll || got.Header.Get("Vary") == "" {
			t.Errorf("If-None-Match %s: want %d with the tag, got %d %v %s", have, status, got.StatusCode, got.Header, body)
		}
	}
	for name, authorization := range map[string]string{
		"a user":             issuer.Bearer("alice", nil),
		"a bad bearer token": "Bearer nonsense",
		"an expired one":     issuer.Bearer("alice", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"another scheme":     "Basic YTpi",
		"an empty field":     "",
	} {
		got := ask("/config?clientType=web", http.Header{"Authorization": {authorization}, "If-None-Match": {tag, "*"}})
		if got.StatusCode != 200 || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("ETag") != "" {
			t.Errorf("%s: want a whole answer that nobody keeps, got %d %v", name, got.StatusCode, got.Header)
		}
	}
	awstest.WantError(t, ask("/config", nil), http.StatusBadRequest)
}

func TestAnswerToAServiceIsNeverCached(t *testing.T) {
	ask := serviceFunction(t, map[string]string{"web": `{}`}, nil)
	for _, header := range []http.Header{{}, {"userid": {"alice"}}, {"userid": {"not an id"}}} {
		if got := ask(header).Header; got.Get("Cache-Control") != "no-store" || got.Get("ETag") != "" {
			t.Errorf("%v: want an answer that nobody keeps, got %v", header, got)
		}
	}
}

func TestErrorObjectLiesUnderTheConfiguredKey(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{
		"web": `{"errors":1}`,
		"tv":  `{"problem":{"title":"TV"},"errors":1}`,
	}, map[string]string{"ERROR_OBJ_KEY": "problem"})
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":1,"problem":`+ownError+`}`)
	wantJSON(t, get(h, "/config?clientType=tv", ""), `{"errors":1,"problem":{"title":"TV"}}`)
	rest := wantAuthentication(t, get(h, "/config?clientType=tv", issuer.Bearer("alice", nil)), "alice")
	if len(rest) != 1 || string(rest["errors"]) != "1" {
		t.Errorf("want only problem dropped for a known caller, got %s", rest)
	}
}

func TestConfiguredAuthenticationIsOverwrittenOrDropped(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"authentication":{"apiKey":"x","userToken":"forged"}}`}, nil)
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":`+ownError+`}`)
	wantAuthentication(t, get(h, "/config?clientType=web", issuer.Bearer("alice", nil)), "alice")
}

func TestAnswersDoNotLeakIntoEachOther(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"errors":{"title":"Hi"}}`}, nil)
	for range 2 {
		wantAuthentication(t, get(h, "/config?clientType=web", issuer.Bearer("alice", nil)), "alice")
		wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":{"title":"Hi"}}`)
	}
}

func TestClientTypeIsRequired(t *testing.T) {
	h, _ := clientFunction(t, nil, nil)
	for _, path := range []string{"/config", "/config?clientType=", "/config?clienttype=web"} {
		awstest.WantError(t, get(h, path, ""), http.StatusBadRequest)
	}
}

func TestClientTypeWithoutConfigurationIsAnEmptyObject(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"a":1}`}, nil)
	for _, clientType := range []string{"desktop", "..%2Fstream%2Fapi-secret", "WEB", "web%20"} {
		wantJSON(t, get(h, "/config?clientType="+clientType, ""), `{"errors":`+ownError+`}`)
	}
	if rest := wantAuthentication(t, get(h, "/config?clientType=desktop", issuer.Bearer("alice", nil)), "alice"); len(rest) != 0 {
		t.Errorf("want nothing besides, got %s", rest)
	}
}

func TestBrokenParameterIsAnErrorForItsTypeAlone(t *testing.T) {
	for _, broken := range []string{"", "null", "[]", `"text"`, "7", "{", `{"a":1} x`, "not json"} {
		h, _ := clientFunction(t, map[string]string{"web": `{"a":1}`, "tv": broken}, nil)
		awstest.WantError(t, get(h, "/config?clientType=tv", ""), http.StatusInternalServerError)
		wantJSON(t, get(h, "/config?clientType=web", ""), `{"a":1,"errors":`+ownError+`}`)
	}
}

func TestTextOfTheConfigurationStaysAsItIs(t *testing.T) {
	h, _ := clientFunction(t, map[string]string{
		"web": `{"id":9007199254740993,"e":1.50e+10,"html":"<b>&</b>","text":"ñ ☃","escaped":"\u00f1","n":null}`,
	}, nil)
	answer := object(t, get(h, "/config?clientType=web", ""))
	for name, want := range map[string]string{
		"id": "9007199254740993", "e": "1.50e+10", "html": `"<b>&</b>"`, "text": `"ñ ☃"`, "escaped": `"\u00f1"`, "n": "null",
	} {
		if got := string(answer[name]); got != want {
			t.Errorf("%s: want %s, got %s", name, want, got)
		}
	}
}

func TestBadBearerTokenGetsConfigurationAndErrorObject(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"a":1}`}, nil)
	for _, authorization := range []string{
		"Bearer nonsense",
		issuer.Bearer("alice", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		awstest.NewIssuer(t).Bearer("alice", nil),
	} {
		wantJSON(t, get(h, "/config?clientType=web", authorization), `{"a":1,"errors":`+ownError+`}`)
	}
}

func TestUserIDIsTheOneAtStream(t *testing.T) {
	h, issuer := clientFunction(t, nil, nil)
	wantAuthentication(t, get(h, "/config?clientType=web", issuer.Bearer("auth0|1", nil)), "auth0@-7C1")
}

func TestWithoutMappingAUserWhoseIDStreamRefusesIsNotKnown(t *testing.T) {
	h, issuer := clientFunction(t, nil, map[string]string{"USER_ID_MAPPING": "none"})
	wantJSON(t, get(h, "/config?clientType=web", issuer.Bearer("auth0|1", nil)), `{"errors":`+ownError+`}`)
}

func TestIssuerThatDoesNotAnswerIsUnavailable(t *testing.T) {
	h, issuer := clientFunction(t, nil, nil)
	bearer := issuer.Bearer("alice", nil)
	issuer.Stop()
	awstest.WantError(t, get(h, "/config?clientType=web", bearer), http.StatusServiceUnavailable)
}

func TestNoHeaderMakesACallerKnown(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, parameters(nil)).Env(awstest.NewIssuer(t).Env()))
	r := httptest.NewRequest(http.MethodGet, "/config?clientType=web", nil)
	for _, name := range []string{"Userid", "X-Amzn-Userid", "X-Amzn-Oidc-Identity", "X-Forwarded-User"} {
		r.Header.Set(name, "alice")
	}
	r.Header.Set("X-Golambdaproxy-Apigw-Context", `{"identity":{"userArn":"arn:aws:iam::1:user/a"}}`)
	for name, event := range map[string]any{
		"REST API": awstest.AnonymousServiceEvent(t, r, "/config"),
		"HTTP API": awstest.ClientEvent(t, r, "/config"),
	} {
		t.Run(name, func(t *testing.T) { wantJSON(t, f.Invoke(event), `{"errors":`+ownError+`}`) })
	}
}

func TestServiceSpeaksForTheUserThatItsHeaderNames(t *testing.T) {
	ask := serviceFunction(t, map[string]string{"web": `{"a":1}`}, nil)
	wantAuthentication(t, ask(http.Header{"userid": {"alice"}}), "alice")
	for name, header := range map[string]http.Header{
		"no header":            {},
		"empty":                {"userid": {""}},
		"repeated":             {"userid": {"alice", "bob"}},
		"no id":                {"userid": {"alice, bob"}},
		"under another header": {"user": {"alice"}},
	} {
		t.Run(name, func(t *testing.T) { wantJSON(t, ask(header), `{"a":1,"errors":`+ownError+`}`) })
	}
}

func TestHeaderKeyWithDotsLooksIntoTheJSONObject(t *testing.T) {
	ask := serviceFunction(t, nil, map[string]string{"USERID_HEADER_KEY": "miauserproperties._id"})
	wantAuthentication(t, ask(http.Header{"MiaUserProperties": {`{"name":"A, B","_id":"alice"}`}}), "alice")
	for name, values := range map[string][]string{
		"a number":           {`{"_id":7}`},
		"null":               {`{"_id":null}`},
		"an object":          {`{"_id":{"_id":"alice"}}`},
		"nothing":            {`{}`},
		"another case":       {`{"_ID":"alice"}`},
		"no object":          {`["alice"]`},
		"broken":             {`{"_id":"alice"`},
		"not JSON":           {`alice`},
		"more than one":      {`{"_id":"alice"}`, `{"_id":"alice"}`},
		"joined with commas": {`{"_id":"alice"},{"_id":"bob"}`},
		"not a user id":      {`{"_id":"a b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			wantJSON(t, ask(http.Header{"miauserproperties": values}), `{"errors":`+ownError+`}`)
		})
	}
}

func TestEachFurtherDotIsOneLevelDeeper(t *testing.T) {
	ask := serviceFunction(t, nil, map[string]string{"USERID_HEADER_KEY": "session.user.ids.chat"})
	wantAuthentication(t, ask(http.Header{"session": {`{"user":{"ids":{"chat":"alice"}}}`}}), "alice")
	for _, value := range []string{`{"user":{"ids":"alice"}}`, `{"user.ids.chat":"alice"}`, `{"user":null}`, `{"user":{"ids":{}}}`} {
		wantJSON(t, ask(http.Header{"session": {value}}), `{"errors":`+ownError+`}`)
	}
}

func FuzzHeaderPathGivesNoMoreThanTheHeaderSays(f *testing.F) {
	f.Add("userid", "alice")
	f.Add("p._id", `{"_id":"alice"}`)
	f.Add("p.a.b", `{"a":{"b":"c"}}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		path, err := parseHeaderPath(key)
		if err != nil {
			return
		}
		id := path.value(http.Header{http.CanonicalHeaderKey(path.field): {value}})
		if !strings.Contains(key, ".") && id != value {
			t.Errorf("want the field itself, %q, got %q", value, id)
		}
		if strings.Contains(key, ".") && id != "" && !json.Valid([]byte(value)) {
			t.Errorf("want nothing out of %q, which is not JSON, got %q", value, id)
		}
	})
}

func FuzzClientConfigIsAnObjectOrAnError(f *testing.F) {
	for _, text := range []string{"{}", "null", "[]", `{"a":{"b":1e400}}`, ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseClientConfig(text)
		if (c == nil) != (err != nil) {
			t.Fatalf("want an object or an error, got %v and %v", c, err)
		}
		if err == nil {
			if _, err := json.Marshal(c); err != nil {
				t.Errorf("want what was read to be written again, got %v", err)
			}
		}
	})
}

func TestOnlyGetIsAllowed(t *testing.T) {
	h, _ := clientFunction(t, nil, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/config?clientType=web", nil))
	awstest.WantError(t, w.Result(), http.StatusMethodNotAllowed)
	if got := w.Header().Get("Allow"); got != http.MethodGet {
		t.Errorf("Allow: want GET, got %q", got)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h, _ := clientFunction(t, nil, nil)
	awstest.WantError(t, get(h, "/config/web?clientType=web", ""), http.StatusNotFound)
}

func BenchmarkConfig(b *testing.B) {
	h, issuer := clientFunction(b, map[string]string{"web": `{"theme":{"name":"dark"},"limit":3}`}, nil)
	for name, authorization := range map[string]string{"user": issuer.Bearer("alice", nil), "anonymous": ""} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				get(h, "/config?clientType=web", authorization)
			}
		})
	}
}
