package values

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"chat-service-backend/ops/console"
	"chat-service-backend/ops/stack"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/streamrest"
)

// reference is what Parameter Store takes for a reference to another parameter, and refuses.
var reference = regexp.MustCompile(`(?s)\{\{.*\}\}`)

// check returns what makes a value one that nobody can have meant.
func check(what, s string) error {
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return fmt.Errorf("%s has a character that cannot be seen (U+%04X): type it, or copy it without", what, r)
		}
	}
	switch {
	case s == "":
		return fmt.Errorf("%s must not be empty", what)
	case strings.ContainsAny(s[:1]+s[len(s)-1:], "\"'`") || strings.HasPrefix(s, "“") || strings.HasSuffix(s, "”"):
		return fmt.Errorf("%s begins or ends with a quotation mark: leave the quotes out", what)
	case strings.ContainsAny(s[len(s)-1:], ",;"):
		return fmt.Errorf("%s ends with a %s: leave it out", what, s[len(s)-1:])
	case reference.MatchString(s):
		return fmt.Errorf("%s has {{…}}, which Parameter Store refuses", what)
	}
	return nil
}

// minSecret is shorter than Stream's secrets, which have 64 characters, and longer than its
// keys, which have 12.
const minSecret = 40

// CheckKey returns why a text cannot be an API key, or nil.
func CheckKey(s string) error {
	if err := check("the API key", s); err != nil {
		return err
	}
	if len(s) >= minSecret {
		return errors.New("the API key looks like an API secret, and everybody could read it: Stream's keys have about 12 characters")
	}
	return nil
}

// CheckSecret returns why a text cannot be the API secret of a key, or nil.
func CheckSecret(key, s string) error {
	if err := check("the API secret", s); err != nil {
		return err
	}
	if s == key {
		return errors.New("the API secret is the same as the API key: copy it from Stream's dashboard")
	}
	return nil
}

// maxStandard is the size limit of parameters in the standard tier, in bytes.
const maxStandard = 4096

// CheckConfig returns why a text cannot be a client configuration, or nil.
func CheckConfig(s string) error {
	if len(s) > maxStandard {
		return fmt.Errorf("the configuration has %d bytes: Parameter Store takes %d", len(s), maxStandard)
	}
	return CheckObject(s)
}

// CheckObject is [CheckConfig] for a value that is stored, and so not too large.
func CheckObject(s string) error {
	var object map[string]json.RawMessage
	err := json.Unmarshal([]byte(s), &object)
	switch {
	case strings.HasPrefix(s, "\ufeff"):
		return errors.New("it begins with a byte-order mark (U+FEFF), which is no JSON: leave it out")
	case err != nil:
		return fmt.Errorf(`that is not a JSON object: give one such as {"theme":"dark"} (%w)`, err)
	case object == nil:
		return errors.New(`that is not a JSON object: give one such as {"theme":"dark"}`)
	case reference.MatchString(s):
		return errors.New(`it has {{…}}, which Parameter Store refuses: write \u007b\u007b for {{`)
	}
	return nil
}

// Accepted asks Stream whether it accepts a key and a secret. That Stream cannot be asked
// is no error.
func Accepted(ctx context.Context, c *console.Console, base, key, secret string) error {
	credentials, err := streamchat.NewCredentials(streamchat.Pair{Key: key, Secret: secret}, streamchat.Pair{}, 0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = stack.Accepts(ctx, cmp.Or(base, streamchat.DefaultBaseURL), credentials)
	var refused *streamrest.Error
	switch {
	case err == nil:
		c.Progress("Stream accepts this key and secret.")
	case errors.As(err, &refused) && refused.Code != 0 && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
		return fmt.Errorf("Stream refuses this key and secret (%w): copy both from one app in its dashboard, or add -unchecked", err)
	default:
		c.Progress("Stream cannot be asked about this key and secret from here: %v", err)
	}
	return nil
}
