package streamchat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/settings"
)

const (
	key      = "k3y"
	secret   = "s3cr3t-of-the-app"
	previous = "s3cr3t-before"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewJSONHandler(io.Discard, nil)))
	os.Exit(m.Run())
}

func newCredentials(t testing.TB, ttl time.Duration) *Credentials {
	t.Helper()
	c, err := NewCredentials(Pair{key, secret}, Pair{"", previous}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// openToken checks a token's signature and returns its header and claims.
func openToken(t *testing.T, token, secret string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("want three parts, got %d", len(parts))
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if got := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); got != parts[2] {
		t.Error("want HMAC-SHA256 under the secret, got another signature")
	}
	for i, v := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber() // keeps 1 and 1.0 apart
		if err := decoder.Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func wantClaims(t *testing.T, got, want map[string]any) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("want exactly %v, got %v", want, got)
	}
}

func TestUserTokenHasExactlyItsClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond) // half a second, which no claim may show
		now := time.Now().Unix()
		number := func(n int64) json.Number { return json.Number(fmt.Sprint(n)) }

		token, err := newCredentials(t, 90*time.Second).UserToken("jo@x_Y-1", time.Time{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		header, claims := openToken(t, token, secret)
		wantClaims(t, header, map[string]any{"alg": "HS256", "typ": "JWT"})
		wantClaims(t, claims, map[string]any{"user_id": "jo@x_Y-1", "iat": number(now - 5), "exp": number(now + 90)})

		token, err = newCredentials(t, 0).UserToken("u1", time.Time{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, claims = openToken(t, token, secret)
		wantClaims(t, claims, map[string]any{"user_id": "u1", "iat": number(now - 5)})
	})
}

func TestTokenIsNotIssuedBeforeARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(700 * time.Millisecond)
		for _, ago := range []time.Duration{-time.Hour, -6 * time.Second, -5200 * time.Millisecond, -5 * time.Second, -4500 * time.Millisecond, -time.Second, 0} {
			revoked := time.Now().Add(ago)
			token, err := newCredentials(t, 0).UserToken("u1", revoked, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, claims := openToken(t, token, secret)
			issued, err := claims["iat"].(json.Number).Int64()
			if at := time.Unix(issued, 0); err != nil || at.Before(revoked) || at.After(revoked.Add(time.Second)) && time.Since(at) < clockSkew {
				t.Errorf("revoked at %v: want a token issued then, or hardly later, got %v, %v", revoked, at, err)
			}
		}
	})
}

func TestServerTokenHasExactlyItsClaim(t *testing.T) {
	header, claims := openToken(t, newCredentials(t, time.Minute).ServerToken(), secret)
	wantClaims(t, header, map[string]any{"alg": "HS256", "typ": "JWT"})
	wantClaims(t, claims, map[string]any{"server": true})
}

func TestCredentialsNeedAKeyAndASecret(t *testing.T) {
	for _, blank := range []string{"", " ", "\n\t "} {
		if c, err := NewCredentials(Pair{blank, secret}, Pair{}, 0); err == nil || c != nil || !strings.Contains(err.Error(), "stream/api-key") {
			t.Errorf("key %q: want an error that names the parameter, got %v", blank, err)
		}
		if c, err := NewCredentials(Pair{key, blank}, Pair{"", previous}, 0); err == nil || c != nil || !strings.Contains(err.Error(), "stream/api-secret ") {
			t.Errorf("secret %q: want an error that names the parameter, got %v", blank, err)
		}
	}
	if _, err := NewCredentials(Pair{" ", secret}, Pair{}, 0); err != nil && strings.Contains(err.Error(), secret) {
		t.Error("want an error without the secret, got it")
	}
}

func TestWhiteSpaceAroundKeyAndSecretIsIgnored(t *testing.T) {
	c, err := NewCredentials(Pair{" " + key + "\n", "\t" + secret + "\r\n"}, Pair{" ", previous + "\n"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	openToken(t, c.ServerToken(), secret)
	if c.Key() != key || !c.ValidSignature("", []byte("x"), sign("x", secret)) || !c.ValidSignature("", []byte("x"), sign("x", previous)) {
		t.Errorf("want key and secrets without white space, got key %q", c.Key())
	}
}

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func FuzzValidSignature(f *testing.F) {
	const body = `{"type":"message.new","text":"é"}`
	good := sign(body, secret)
	for _, signature := range []string{
		good, strings.ToUpper(good), sign(body, previous), "", good[:62], good[:63], good + "00", good + " ", good[:63] + "g", good[1:] + good[:1],
		sign(body, "other"), sign(body, ""), strings.Repeat("zz", 32), base64.StdEncoding.EncodeToString([]byte(good)),
	} {
		f.Add([]byte(body), signature)
	}
	f.Add([]byte(body+" "), good)
	f.Add([]byte(secret), good)
	f.Add([]byte(""), sign("", secret))
	both := newCredentials(f, 0)
	without, err := NewCredentials(Pair{key, secret}, Pair{" ", " "}, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		ofSecret, ofPrevious := strings.ToLower(signature) == sign(string(body), secret), strings.ToLower(signature) == sign(string(body), previous)
		if got := both.ValidSignature("", body, signature); got != (ofSecret || ofPrevious) {
			t.Errorf("%q of %q: want %v, got %v", signature, body, ofSecret || ofPrevious, got)
		}
		if got := without.ValidSignature("", body, signature); got != ofSecret {
			t.Errorf("%q of %q, without a previous secret: want %v, got %v", signature, body, ofSecret, got)
		}
	})
}

func TestPrintingRevealsNoSecret(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(key, secret))
	app := openApp(t, ssm.Getenv(nil))
	c, err := app.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{c, *c, app, *app, []any{c}, map[string]any{"app": app, "credentials": *c}} {
		text := fmt.Sprintf("%v %+v %#v %s %d %x", v, v, v, v, v, v)
		encoded, err := json.Marshal(v)
		text += string(encoded)
		if err != nil {
			text += err.Error()
		}
		for _, hidden := range []string{secret, c.ServerToken(), hex.EncodeToString([]byte(secret)), fmt.Sprint([]byte(secret))} {
			if strings.Contains(text, hidden) {
				t.Errorf("%T: want no secret, got %s", v, text)
			}
		}
	}
}

func TestTokensAreForValidUserIDsOnly(t *testing.T) {
	c := newCredentials(t, 0)
	for id, want := range map[string]bool{"jo@example_com-1": true, strings.Repeat("x", 255): true, "": false, "a.b": false, strings.Repeat("x", 256): false} {
		if token, err := c.UserToken(id, time.Time{}, 0); (err == nil) != want || (token != "") != want {
			t.Errorf("token for %q: want one %v, got %v", id, want, err)
		}
	}
}

// openApp opens an app as a function does.
func openApp(t *testing.T, getenv func(string) string) *App {
	t.Helper()
	app, err := Open(openStore(t, getenv), getenv)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func openStore(t *testing.T, getenv func(string) string) *settings.Store {
	t.Helper()
	store, err := settings.Open(getenv)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestAppReadsCredentialsFromSSM(t *testing.T) {
	values := awstest.App(key, secret)
	values["/chat-service/stream/api-secret-previous"] = previous
	ssm := awstest.NewParameterStore(t, values)
	app := openApp(t, ssm.Getenv(map[string]string{"EXPIRATION_TOKEN_DURATION": "60"}))
	c, err := app.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Key() != key || c.tokenTTL != time.Minute || !c.ValidSignature("", []byte("x"), sign("x", previous)) {
		t.Errorf("want key %s, a minute, and the previous secret accepted, got %s, %v", key, c.Key(), c.tokenTTL)
	}
	if got := ssm.Asked(); len(got) != len(Names) {
		t.Errorf("want all requested once, got %v", got)
	}
}

// Each row is what SSM may hold during a rotation that brings another key: the previous
// pair is written first, then the secret, then the key.
func TestKeyAndSecretArePairs(t *testing.T) {
	const oldKey, oldSecret = "k0", "s0"
	for name, c := range map[string]struct {
		current, previous Pair
		key, secret       string // used for tokens
		old               bool   // whether webhooks of the old pair count
	}{
		"before":               {Pair{oldKey, oldSecret}, Pair{}, oldKey, oldSecret, true},
		"previous secret":      {Pair{oldKey, oldSecret}, Pair{"", oldSecret}, oldKey, oldSecret, true},
		"previous pair":        {Pair{oldKey, oldSecret}, Pair{oldKey, oldSecret}, oldKey, oldSecret, true},
		"secret":               {Pair{oldKey, secret}, Pair{oldKey, oldSecret}, oldKey, oldSecret, true},
		"key":                  {Pair{key, secret}, Pair{oldKey, oldSecret}, key, secret, true},
		"over":                 {Pair{key, secret}, Pair{}, key, secret, false},
		"another secret alone": {Pair{oldKey, secret}, Pair{"", oldSecret}, oldKey, secret, true},
		"another key alone":    {Pair{key, oldSecret}, Pair{oldKey, oldSecret}, key, oldSecret, true},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := NewCredentials(c.current, c.previous, 0)
			if err != nil {
				t.Fatal(err)
			}
			openToken(t, made.ServerToken(), c.secret)
			if made.Key() != c.key || made.Knows("unknown") || made.Knows(oldKey) != c.old || !made.Knows(c.key) {
				t.Errorf("want %s, and the old key known %t, got %s and %t", c.key, c.old, made.Key(), made.Knows(oldKey))
			}
			for _, signed := range []struct {
				key, secret string
				valid       bool
			}{
				{c.current.Key, c.current.Secret, true}, {c.key, c.secret, true}, {oldKey, oldSecret, c.old}, {"", oldSecret, c.old}, {"", c.secret, true}, {"unknown", c.secret, false},
				{key, oldSecret, c.current.Secret == oldSecret && c.key == key}, {c.key, "forged", false},
			} {
				if got := made.ValidSignature(signed.key, []byte("x"), sign("x", signed.secret)); got != signed.valid {
					t.Errorf("signed as %v: want %t, got %t", signed, signed.valid, got)
				}
			}
		})
	}
}

func TestOpenKeyReadsTheKeyOnly(t *testing.T) {
	ssm := awstest.NewParameterStore(t, awstest.App(" ", secret))
	value := OpenKey(openStore(t, ssm.Getenv(nil)))
	if got, err := value.Get(t.Context()); !errors.Is(err, settings.ErrMissing) || got != "" {
		t.Errorf("blank key: want %v, got %q, %v", settings.ErrMissing, got, err)
	}
	ssm.Set("/chat-service/stream/api-key", key+"\n")
	if got, err := value.Get(t.Context()); got != key || err != nil {
		t.Errorf("want %s, got %q, %v", key, got, err)
	}
	if got := slices.Compact(ssm.Asked()); !slices.Equal(got, []string{"/chat-service/stream/api-key"}) {
		t.Errorf("want only the key requested, got %v", got)
	}
}

func TestMissingCredentialsAreAnErrorUntilTheyExist(t *testing.T) {
	for name, values := range map[string]map[string]string{"missing": {}, "blank secret": awstest.App(key, " "), "no key": awstest.App("", secret)} {
		ssm := awstest.NewParameterStore(t, values)
		app := openApp(t, ssm.Getenv(nil))
		c, err := app.Credentials(t.Context())
		if c != nil || !errors.Is(err, settings.ErrUnavailable) || !errors.Is(err, settings.ErrMissing) {
			t.Errorf("%s: want an error that says so, got %v", name, err)
		}
		for name, value := range awstest.App(key, secret) {
			ssm.Set(name, value)
		}
		if c, err = app.Credentials(t.Context()); err != nil || c.Key() != key {
			t.Errorf("%s: want the credentials as soon as they exist, got %v", name, err)
		}
	}
}

// appOf returns the app whose secret is what secret returns.
func appOf(t *testing.T, secret func() string) *App {
	return &App{settings.Keep(openStore(t, func(string) string { return "" }), StaleFor, func(context.Context) (*Credentials, error) {
		return NewCredentials(Pair{"key", secret()}, Pair{}, 0)
	})}
}

func TestRemovedSecretVerifiesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := "old"
		app := appOf(t, func() string { return secret })
		want := func(want bool, wantErr error) {
			t.Helper()
			got, err := app.Verify(t.Context(), func(c *Credentials) bool { return c.ValidSignature("", []byte("body"), sign("body", "old")) })
			if (got != nil) != want || !errors.Is(err, wantErr) {
				t.Errorf("want %t, %v, got %v, %v", want, wantErr, got, err)
			}
		}
		want(true, nil)
		secret = ""
		time.Sleep(300 * time.Second)
		want(false, settings.ErrUnavailable)
		secret = "new"
		want(false, nil)
	})
}

func TestSignatureOfARotatedSecretCountsBeforeTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, calls := "old", 0
		app := appOf(t, func() string { calls++; return secret })
		want := func(signature string, want bool, wantCalls int) {
			t.Helper()
			got, err := app.Verify(t.Context(), func(c *Credentials) bool { return c.ValidSignature("", []byte("body"), signature) })
			if err != nil || (got != nil) != want || calls != wantCalls {
				t.Errorf("want %t after %d calls to SSM, got %v after %d, %v", want, wantCalls, got, calls, err)
			}
		}
		want(sign("body", "old"), true, 1)
		secret = "new"
		want(sign("body", "new"), false, 1) // read a moment ago
		time.Sleep(time.Minute)
		want(sign("body", "old"), true, 1)
		want(sign("body", "new"), true, 2)
		want(sign("body", "forged"), false, 2)
		want(sign("body", "forged"), false, 2)
	})
}

func TestBadDurationIsAnErrorThatNamesIt(t *testing.T) {
	for _, value := range []string{"1h", "0", "-1"} {
		getenv := func(name string) string { return map[string]string{"EXPIRATION_TOKEN_DURATION": value}[name] }
		if _, err := Open(openStore(t, getenv), getenv); err == nil || !strings.Contains(err.Error(), "EXPIRATION_TOKEN_DURATION") {
			t.Errorf("%s: want an error that names the variable, got %v", value, err)
		}
	}
}

func BenchmarkUserToken(b *testing.B) {
	c := newCredentials(b, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.UserToken("u1", time.Time{}, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidSignature(b *testing.B) {
	c := newCredentials(b, 0)
	body := strings.Repeat("x", 4<<10)
	signature := sign(body, secret)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if !c.ValidSignature(key, []byte(body), signature) {
			b.Fatal("want it valid")
		}
	}
}
