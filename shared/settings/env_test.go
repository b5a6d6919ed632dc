package settings

import (
	"math/big"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// env returns the getenv of an environment with one variable.
func env(name, value string) func(string) string {
	return func(n string) string {
		if n == name {
			return value
		}
		return ""
	}
}

func TestBool(t *testing.T) {
	for _, otherwise := range []bool{true, false} {
		for text, want := range map[string]bool{"": otherwise, "true": true, "false": false} {
			if got, err := Bool(env("N", text), "N", otherwise); got != want || err != nil {
				t.Errorf("%q: want %t, got %t, %v", text, want, got, err)
			}
		}
		for _, text := range []string{"yes", "no", "1", "0", "True", "FALSE", " true"} {
			if got, err := Bool(env("N", text), "N", otherwise); err == nil || got || !strings.HasPrefix(err.Error(), "N: ") {
				t.Errorf("%q: want one line that names N, got %t, %v", text, got, err)
			}
		}
	}
}

func FuzzSeconds(f *testing.F) {
	const otherwise = 7 * time.Second
	for _, text := range []string{
		"", "1", "300", "007", "9223372036",
		"0", "00", "-1", "+1", "1.0", "1e3", "1h", "60s", " 60", "60 ", "0x10", "1_000", "٣", "ten", "\x00",
		"9223372037", "18446744073709551616", "99999999999999999999",
	} {
		f.Add(text)
	}
	digits := regexp.MustCompile(`^[0-9]+$`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Seconds(env("N", text), "N", otherwise)
		n, _ := new(big.Int).SetString(text, 10)
		switch {
		case text == "":
			if err != nil || got != otherwise {
				t.Errorf("want %v, got %v, %v", otherwise, got, err)
			}
		case digits.MatchString(text) && n.Sign() > 0 && n.Cmp(big.NewInt(9223372036)) <= 0:
			if err != nil || got != time.Duration(n.Int64())*time.Second {
				t.Errorf("%q: want %v seconds, got %v, %v", text, n, got, err)
			}
		case err == nil || got != 0 || !strings.HasPrefix(err.Error(), "N: ") || strings.Contains(err.Error(), "\n"):
			t.Errorf("%q: want one line that names N, got %v, %v", text, got, err)
		}
	})
}

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "https://default.example",
		"https://chat.stream-io-api.com": "https://chat.stream-io-api.com",
		"https://host/path/":             "https://host/path",
		"https://host///":                "https://host",
		"https://host:8443/a/b":          "https://host:8443/a/b",
		"HTTPS://host":                   "https://host",
		"http://localhost:8080":          "http://localhost:8080",
		"http://127.0.0.1:8080/x":        "http://127.0.0.1:8080/x",
		"http://127.9.9.9":               "http://127.9.9.9",
		"http://[::1]:80":                "http://[::1]:80",
	} {
		if got, err := URL(env("U", text), "U", "https://default.example/"); err != nil || got.String() != want {
			t.Errorf("%q: want %s, got %v, %v", text, want, got, err)
		}
	}
	for _, text := range []string{
		"http://example.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com", "http://[::2]", "http://0.0.0.0",
		"ftp://host", "host", "host/path", "//host", "https:", "https://", "https:///path", "https://:443", "https:host", "/path", ":", "https://ho st", " https://host",
		"https://user@host", "https://user:hunter2@host", "https://host?", "https://host?a=1", "https://host/#x", "https://host%zz", "https://host/\n", "file:///etc/passwd", "javascript:x",
	} {
		got, err := URL(env("U", text), "U", "https://default.example")
		if err == nil || got != nil || !strings.HasPrefix(err.Error(), "U: ") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: want one line that names U and no password, got %v, %v", text, got, err)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, text := range []string{"https://host/path", "http://127.0.0.1:1/", "http://u:p@host?x#y", "https://:443", "https://[::1%25lo]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := URL(env("U", text), "U", "https://default.example")
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q: want a URL that can be parsed, got %s", text, u)
		}
		host := again.Hostname()
		loopback := host == "localhost" || net.ParseIP(host).IsLoopback()
		if again.Scheme != "https" && !(again.Scheme == "http" && loopback) || host == "" || again.User != nil || again.RawQuery != "" || again.ForceQuery || again.Fragment != "" || strings.HasSuffix(u.String(), "/") {
			t.Errorf("%q: want https, or http to this machine, with a host and neither user, query nor fragment, got %s", text, u)
		}
	})
}

func TestParameterPrefix(t *testing.T) {
	for text, want := range map[string]string{"": "/chat-service/x", "/a": "/a/x", "/a/b_c.D-9": "/a/b_c.D-9/x"} {
		store, err := Open(env("PARAMETER_PREFIX", text))
		if err != nil || store.Name("x") != want {
			t.Errorf("%q: want %s, got %v", text, want, err)
		}
	}
	for _, text := range []string{"/", "a", "a/", "/a/", "//", "//a", "/a//b", "/a b", "/a\n", "/ä", "/a*", "/a?", " /a"} {
		if _, err := Open(env("PARAMETER_PREFIX", text)); err == nil || !strings.HasPrefix(err.Error(), "PARAMETER_PREFIX: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: want one line that names PARAMETER_PREFIX, got %v", text, err)
		}
	}
}

func TestParameterTTL(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 5 * time.Minute, "1": time.Second} {
		if store, err := Open(env("PARAMETER_TTL", text)); err != nil || store.ttl != want {
			t.Errorf("%q: want %v, got %v", text, want, err)
		}
	}
	if _, err := Open(env("PARAMETER_TTL", "5m")); err == nil || !strings.HasPrefix(err.Error(), "PARAMETER_TTL: ") {
		t.Errorf("want an error that names PARAMETER_TTL, got %v", err)
	}
}
