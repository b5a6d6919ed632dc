package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"chat-service-backend/shared/identity"
)

// token prints the claims of a bearer token and its user, or why the functions refuse it.
// It asks the functions' own code, with the stack's parameters. It never prints the
// signature, so that nobody can use the output as a token.
func (d *doctor) token(ctx context.Context, name string) error {
	content, err := os.ReadFile(name)
	if name == "-" {
		content, err = io.ReadAll(io.LimitReader(d.In, 1<<20))
	}
	if err != nil {
		return fmt.Errorf("-token: %w", err)
	}
	bearer := strings.TrimPrefix(strings.TrimSpace(string(content)), "Bearer ")
	parts := strings.Split(bearer, ".")
	header, headerErr := segment(parts[0])
	if len(parts) != 3 || headerErr != nil {
		return errors.New("-token: want a JWT, which has three parts separated by dots, got something else")
	}
	claims, err := segment(parts[1])
	if err != nil {
		return errors.New("-token: want claims in JSON, got something else: neither ops nor the functions can read an encrypted token")
	}
	_, s, err := d.at.Stack(ctx)
	if err != nil {
		return err
	}
	callers, err := identity.FromEnv(s.Getenv)
	if err != nil {
		return err
	}
	caller, refused := callers.Identify(ctx, "", []string{"Bearer " + bearer})
	if refused == nil && caller.Kind != identity.User {
		refused = errors.New("the stack has no OidcIssuer, so the functions accept no token")
	}
	report := document{"header": header, "claims": claims}
	if refused != nil {
		report["refused"] = refused.Error()
		report["wanted"] = document{"iss": s.Parameters["OidcIssuer"], "aud": s.Parameters["OidcAudience"], "now": time.Now().Unix(), "claim": s.Parameters["UserIdClaim"]}
	} else {
		report["userId"] = caller.UserID
	}
	if err := d.PrintJSON(report); err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("refused: %w", refused)
	}
	return nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// segment decodes one of a token's first two parts.
func segment(s string) (decoded document, err error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err == nil {
		err = json.Unmarshal(text, &decoded)
	}
	if err == nil && decoded == nil {
		err = errors.New("want a JSON object")
	}
	return decoded, err
}
