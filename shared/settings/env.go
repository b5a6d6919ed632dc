package settings

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxSeconds is the most seconds that fit a [time.Duration]: 292 years.
const maxSeconds = uint64((1<<63 - 1) / time.Second)

// Seconds returns an environment variable's whole number of seconds, or otherwise if
// it is unset or empty. Anything but a positive whole number is an error that names
// the variable.
func Seconds(getenv func(string) string, name string, otherwise time.Duration) (time.Duration, error) {
	text := getenv(name)
	if text == "" {
		return otherwise, nil
	}
	// ParseUint rejects signs and spaces.
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || n > maxSeconds {
		return 0, fmt.Errorf("%s: %q is not a number of seconds; use a whole number from 1 on", name, text)
	}
	return time.Duration(n) * time.Second, nil
}

// Bool returns an environment variable that is true or false, or otherwise if it is
// unset or empty. Anything else is an error that names the variable.
func Bool(getenv func(string) string, name string, otherwise bool) (bool, error) {
	switch text := getenv(name); text {
	case "":
		return otherwise, nil
	case "true", "false":
		return text == "true", nil
	default:
		return false, fmt.Errorf("%s: %q is neither true nor false; use one of them", name, text)
	}
}

// URL returns the base URL in an environment variable, without a trailing slash,
// or otherwise if the variable is unset or empty. The URL must be https (http
// only for loopback) and have no user, query or fragment. An error names the
// variable.
func URL(getenv func(string) string, name, otherwise string) (*url.URL, error) {
	text := getenv(name)
	if text == "" {
		text = otherwise
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		// Without the text, which may contain a password.
		return nil, fmt.Errorf("%s: not a URL like https://host/path, without user, query and fragment", name)
	}
	if !Secure(u) {
		return nil, fmt.Errorf("%s: its scheme is %q; use https, or http towards localhost", name, u.Scheme)
	}
	return u, nil
}

// Secure reports whether u is https, or http on the loopback interface, so that
// nobody between this process and its peer can read what is sent.
func Secure(u *url.URL) bool {
	switch u.Scheme {
	case "https":
		return true
	case "http":
		host := u.Hostname()
		return host == "localhost" || net.ParseIP(host).IsLoopback()
	default:
		return false
	}
}
