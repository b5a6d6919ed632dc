package settings

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
		return 0, fmt.Errorf("%s: want a positive whole number of seconds, got %q", name, text)
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
		return false, fmt.Errorf("%s: want true or false, got %q", name, text)
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
		return nil, fmt.Errorf("%s: want a URL like https://host/path, got something else", name)
	}
	if !Secure(u) {
		return nil, fmt.Errorf("%s: want an https URL (http only towards localhost), got scheme %q", name, u.Scheme)
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

// Credentials returns the AWS credentials in the environment, where Lambda puts them.
func Credentials(getenv func(string) string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		credentials := aws.Credentials{
			AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    getenv("AWS_SESSION_TOKEN"),
			Source:          "environment",
		}
		if !credentials.HasKeys() {
			return aws.Credentials{}, errors.New("want AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
		}
		return credentials, nil
	})
}

// Endpoint returns the URL that the environment sets for an AWS service instead of
// its own: AWS_ENDPOINT_URL_<service>, else AWS_ENDPOINT_URL, else nil.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func Endpoint(getenv func(string) string, service string) *string {
	for _, name := range []string{"AWS_ENDPOINT_URL_" + service, "AWS_ENDPOINT_URL"} {
		if url := getenv(name); url != "" {
			return &url
		}
	}
	return nil
}
