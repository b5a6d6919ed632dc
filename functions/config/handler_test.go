package config

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"chat-service-backend/internal/awstest"
)

// ownError is the default error object.
var ownError = string(notKnown)

// get returns h's answer to a GET with an Authorization field, if any.
func get(h http.Handler, path, authorization string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return awstest.Do(h, r)
}

// object returns the JSON object in an answer, its members as text.
func object(t testing.TB, response *http.Response) map[string]json.RawMessage {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("want 200 and a JSON object, got %d %s", response.StatusCode, body)
	}
	// Neither a token is cached, nor the answer to a bad one.
	if got := response.Header.Get("Cache-Control"); got != "no-store" && (answer[authenticationKey] != nil || got != forAll) {
		t.Errorf("Cache-Control: want no-store, or %q without a token, got %q", forAll, got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: want application/json, got %q", got)
	}
	return answer
}

const forAll = "public, max-age=60"

// wantJSON checks for an answer with this JSON object.
func wantJSON(t testing.TB, response *http.Response, want string) {
	t.Helper()
	wantObject(t, object(t, response), want)
}

func wantObject(t testing.TB, got map[string]json.RawMessage, want string) {
	t.Helper()
	text, _ := json.Marshal(got)
	var a, b any
	if json.Unmarshal([]byte(want), &a) != nil || json.Unmarshal(text, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("want %s, got %s", want, text)
	}
}

// wantAuthentication checks for a user's credentials, and for this JSON object
// besides.
func wantAuthentication(t testing.TB, response *http.Response, userID, rest string) {
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
	wantObject(t, answer, rest)
}

// clientFunction returns the function as users of an issuer reach it.
func clientFunction(t testing.TB, configs, environment map[string]string) (http.Handler, *awstest.Issuer) {
	issuer := awstest.NewIssuer(t)
	env := issuer.Env()
	maps.Copy(env, environment)
	return awstest.Handler(t, Build, awstest.NewParameterStore(t, parameters(configs)).Getenv(env)), issuer
}

func TestCallersGetConfigurationAndCredentialsOrAnErrorObject(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{
		"web":    `{"theme":{"name":"dark"},"limit":3}`,
		"tv":     `{"errors":{"title":"Hi","code":7}}`,
		"forged": `{"authentication":{"apiKey":"x","userToken":"forged"}}`,
	}, nil)
	bearer := issuer.Bearer("auth0|1", nil)
	for range 2 { // no answer may leak into the next
		for clientType, want := range map[string]struct{ known, unknown string }{
			"web":                      {`{"theme":{"name":"dark"},"limit":3}`, `{"theme":{"name":"dark"},"limit":3,"errors":` + ownError + `}`},
			"tv":                       {`{}`, `{"errors":{"title":"Hi","code":7}}`},
			"forged":                   {`{}`, `{"errors":` + ownError + `}`},
			"desktop":                  {`{}`, `{"errors":` + ownError + `}`},
			"..%2Fstream%2Fapi-secret": {`{}`, `{"errors":` + ownError + `}`},
			"WEB":                      {`{}`, `{"errors":` + ownError + `}`},
		} {
			wantAuthentication(t, get(h, "/config?clientType="+clientType, bearer), "auth0@-7C1", want.known)
			wantJSON(t, get(h, "/config?clientType="+clientType, ""), want.unknown)
		}
	}
	for _, path := range []string{"/config", "/config?clientType=", "/config?clienttype=web"} {
		awstest.WantError(t, get(h, path, bearer), http.StatusBadRequest)
	}
}

func TestBadBearerTokenGetsAnErrorObjectUnlessItCannotBeChecked(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"a":1}`}, nil)
	wantJSON(t, get(h, "/config?clientType=web", "Bearer nonsense"), `{"a":1,"errors":`+ownError+`}`)
	bearer := issuer.Bearer("alice", nil)
	wantJSON(t, get(h, "/config?clientType=web", "Bearer nonsense"), `{"a":1,"errors":`+ownError+`}`)

	environment := issuer.Env()
	environment["REQUIRED_CLAIMS"] = "plan=pro"
	strict := awstest.Handler(t, Build, awstest.NewParameterStore(t, parameters(nil)).Getenv(environment))
	wantJSON(t, get(strict, "/config?clientType=web", bearer), `{"errors":{"title":"Not signed in","message":"Your account may not use the chat of this app."}}`)
	wantAuthentication(t, get(strict, "/config?clientType=web", issuer.Bearer("alice", map[string]any{"plan": "pro"})), "alice", `{}`)

	issuer.Stop()
	h = awstest.Handler(t, Build, awstest.NewParameterStore(t, parameters(nil)).Getenv(issuer.Env()))
	awstest.WantError(t, get(h, "/config?clientType=web", bearer), http.StatusServiceUnavailable)
}

// The client needs its configuration anyway, and has a token already.
func TestUserOverTheLimitGetsTheConfigurationWithoutCredentials(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"web": `{"a":1}`}, map[string]string{"TOKENS_PER_MINUTE": "1"})
	bearer := issuer.Bearer("jo", nil)
	get(h, "/config?clientType=web", bearer)
	response := get(h, "/config?clientType=web", bearer)
	if wait := response.Header.Get("Retry-After"); wait == "" {
		t.Error("want a Retry-After")
	}
	wantJSON(t, response, `{"a":1,"errors":{"title":"Not signed in","message":"You ask for tokens too often; wait for as long as Retry-After says."}}`)
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
		t.Errorf("want an answer to keep for a minute, for requests of one origin without credentials, got %v", first.Header)
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

func TestErrorObjectIsUnderTheConfiguredKey(t *testing.T) {
	h, issuer := clientFunction(t, map[string]string{"tv": `{"problem":{"title":"TV"},"errors":1}`}, map[string]string{"ERROR_OBJ_KEY": "problem"})
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"problem":`+ownError+`}`)
	wantJSON(t, get(h, "/config?clientType=tv", ""), `{"errors":1,"problem":{"title":"TV"}}`)
	wantAuthentication(t, get(h, "/config?clientType=tv", issuer.Bearer("alice", nil)), "alice", `{"errors":1}`)
}

func TestBrokenParameterIsAnErrorForItsTypeOnly(t *testing.T) {
	configs := map[string]string{"web": `{"id":9007199254740993,"e":1.50e+10,"html":"<b>&</b>","text":"ñ ☃","escaped":"\u00f1","n":null}`}
	broken := []string{"", "null", "[]", `"text"`, "7", "{", `{"a":1} x`, "not json"}
	for i, text := range broken {
		configs[strconv.Itoa(i)] = text
	}
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, parameters(configs)).Getenv(nil))
	for i := range broken {
		awstest.WantError(t, get(h, "/config?clientType="+strconv.Itoa(i), ""), http.StatusInternalServerError)
	}
	// The others' text stays as it is.
	answer := object(t, get(h, "/config?clientType=web", ""))
	for name, want := range map[string]string{
		"id": "9007199254740993", "e": "1.50e+10", "html": `"<b>&</b>"`, "text": `"ñ ☃"`, "escaped": `"\u00f1"`, "n": "null",
	} {
		if got := string(answer[name]); got != want {
			t.Errorf("%s: want %s, got %s", name, want, got)
		}
	}
}

// The function's own process, with the events of both APIs.
func TestOnlyAServiceSpeaksForTheUserInItsHeader(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, parameters(map[string]string{"web": `{"a":1}`})).Env(nil))
	const path, unknown = "/config?clientType=web", `{"a":1,"errors":{"title":"Not signed in","message":"Sign in to use the chat."}}`
	request := func(userIDs ...string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header["Userid"] = userIDs
		return r
	}
	alice := f.Invoke(awstest.ServiceEvent(t, request("alice"), "/config"))
	wantAuthentication(t, alice, "alice", `{"a":1}`)
	for _, ids := range [][]string{nil, {""}, {"alice", "bob"}, {"not an id"}} {
		response := f.Invoke(awstest.ServiceEvent(t, request(ids...), "/config"))
		if got := response.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%q: Cache-Control: want no-store, got %q", ids, got)
		}
		wantJSON(t, response, unknown)
	}
	wantJSON(t, f.Invoke(awstest.AnonymousServiceEvent(t, request("alice"), "/config")), unknown)
	wantJSON(t, f.Invoke(awstest.ClientEvent(t, request("alice"), "/config")), unknown)
}

func TestWithoutCredentialsKnownCallersGetNoAnswer(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	bearer := issuer.Bearer("alice", nil)
	ssm := awstest.NewParameterStore(t, awstest.App(key, "\t"))
	ssm.Down(true)
	h := awstest.Handler(t, Build, ssm.Getenv(issuer.Env()))
	awstest.WantError(t, get(h, "/config?clientType=web", ""), http.StatusServiceUnavailable)
	ssm.Down(false)
	wantJSON(t, get(h, "/config?clientType=web", ""), `{"errors":`+ownError+`}`)
	awstest.WantError(t, get(h, "/config?clientType=web", bearer), http.StatusServiceUnavailable)
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	h := awstest.Handler(t, Build, awstest.NewParameterStore(t, parameters(nil)).Getenv(nil))
	response := awstest.Do(h, httptest.NewRequest(http.MethodPost, "/config?clientType=web", nil))
	if got := response.Header.Get("Allow"); got != http.MethodGet {
		t.Errorf("Allow: want GET, got %q", got)
	}
	awstest.WantError(t, response, http.StatusMethodNotAllowed)
	awstest.WantError(t, get(h, "/config/web?clientType=web", ""), http.StatusNotFound)
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
				t.Errorf("want what was read to encode again, got %v", err)
			}
		}
	})
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

// Parameter Store allows 40 calls a second for all starts together.
func TestAStartTakesOneCallAndAnUnusualClientTypeOneMore(t *testing.T) {
	issuer := awstest.NewIssuer(t)
	store := awstest.NewParameterStore(t, parameters(map[string]string{"web": `{"a":1}`, "watch": `{"b":2}`}))
	h := awstest.Handler(t, Build, store.Getenv(issuer.Env()))
	names := store.Asked()
	for _, step := range []struct {
		clientType, want string
		paths            int
	}{
		{"web", `{"a":1,"errors":` + ownError + `}`, 0},
		{"watch", `{"b":2,"errors":` + ownError + `}`, 1},
		{"unknown", `{"errors":` + ownError + `}`, 1},
	} {
		wantJSON(t, get(h, "/config?clientType="+step.clientType, ""), step.want)
		if got := store.Asked(); len(names) != 10 || len(got) != len(names)+step.paths {
			t.Errorf("%s: want one call for ten names, and %d for a path, got %q", step.clientType, step.paths, got)
		}
	}
}

// The mark keeps a parameter that somebody broke from rolling back a deployment.
func TestABrokenConfigurationIsNoFaultOfTheVersion(t *testing.T) {
	f := awstest.StartFunction(t, awstest.NewParameterStore(t, parameters(map[string]string{"web": `[`, "watch": `"`, "tv": `{}`})).Env(nil))
	for _, clientType := range []string{"web", "watch", "tv"} {
		r := httptest.NewRequest(http.MethodGet, "/config?clientType="+clientType, nil)
		f.Invoke(awstest.ClientEvent(t, r, "/config"))
	}
	f.Stop()
	var got []string
	for line := range strings.Lines(f.Output()) {
		var fields struct {
			Message, Fault string
			Status         int
		}
		if json.Unmarshal([]byte(line), &fields) == nil && fields.Message == "request" {
			got = append(got, strconv.Itoa(fields.Status)+fields.Fault)
		}
	}
	if want := "500ClientConfiguration 500ClientConfiguration 200"; strings.Join(got, " ") != want {
		t.Errorf("want %s, got %q", want, got)
	}
}
