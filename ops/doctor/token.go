package doctor

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"chat-service-backend/ops/stack"
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
	switch {
	case bearer == "":
		return errors.New("-token: the file is empty: put an access token into it")
	case len(parts) == 5 && headerErr == nil:
		return errors.New("-token: the token is encrypted (JWE), and neither ops nor the functions can read it: switch the encryption of access tokens off at the provider")
	case len(parts) != 3 || headerErr != nil:
		return fmt.Errorf("-token: the token is opaque, not a JWT: %s", askForJWT)
	}
	claims, err := segment(parts[1])
	if err != nil {
		return errors.New("-token: the token's second part is not claims in JSON: copy the whole access token")
	}
	s, err := d.trusting(ctx)
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
	if warnings := warnings(bearer, claims, s); len(warnings) > 0 {
		report["warnings"] = warnings
	}
	if err := d.PrintJSON(report); err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("refused: %w", refused)
	}
	return nil
}

// askForJWT says how to get a token that can be checked.
const askForJWT = "ask the provider for a JWT (Auth0: send audience; Hydra: strategies.access_token jwt; Authelia: access_token_signed_response_alg; " +
	"oidc-provider, better-auth: send resource; LemonLDAP::NG: Access Token JWT; Google: send the ID token)"

// trusting returns a deployment with the parameters that say which tokens count.
func (d *doctor) trusting(ctx context.Context) (*stack.Stack, error) {
	if !d.at.Local() {
		_, s, err := d.at.Stack(ctx)
		return s, err
	}
	_, s, err := d.at.Service(ctx)
	if err == nil && s.Parameters["OidcIssuer"] == "" {
		err = fmt.Errorf("%s does not say which issuer it trusts: see whether that is the development server's address", d.at.ServiceURL)
	}
	return s, err
}

// maxBearer is how long a token may be, in bytes, so that its request fits into the 10,240
// bytes that API Gateway takes of request line and headers, with some for cookies.
const maxBearer = 8000

// warnings returns what will go wrong though the token may be good.
func warnings(bearer string, claims document, s *stack.Stack) (all []string) {
	if len(bearer) > maxBearer {
		all = append(all, fmt.Sprintf("the token has %d bytes: API Gateway refuses a request with more than 10,240 bytes of request line and headers; leave groups and profile out of it at the provider", len(bearer)))
	}
	if claims["iss"] == nil {
		all = append(all, "the token has no iss, so no issuer can be found for it: set the issuer at the provider (Supabase: GOTRUE_JWT_ISSUER)")
	}
	if claims["at_hash"] != nil || claims["c_hash"] != nil || claims["nonce"] != nil {
		all = append(all, "this looks like an ID token: if the app has an access token for an API, send that")
	}
	if s.Parameters["SignInFunctionArn"] != "" {
		all = append(all, "the function in SignInFunctionArn, which is not asked here, may refuse the user or give them another id: call GET /token/me with the token")
	}
	if s.Parameters["SyncUsers"] == "true" {
		for item := range strings.SplitSeq(cmp.Or(s.Parameters["UserFields"], "name=name,image=picture"), ",") {
			if field, claim, ok := strings.Cut(strings.TrimSpace(item), "="); ok && claims[claim] == nil && s.Parameters["UserInfo"] != "true" {
				all = append(all, fmt.Sprintf("the token has no claim %s, so the user's %s stays empty at Stream: add it at the provider, or set UserInfo=true", claim, field))
			}
		}
	}
	says := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return claims[name] != nil })
	}
	proofs, _ := claims["amr"].([]any)
	switch {
	case s.Parameters["SyncUsers"] != "true":
	case says("auth_time", "fva"), slices.ContainsFunc(proofs, func(v any) bool { p, _ := v.(map[string]any); return p["timestamp"] != nil }):
	case says("sid", "session_id", "origin_jti", "session_state"):
		all = append(all, "the token does not say when its user signed in (auth_time), only its session: a revocation at Stream ends the sessions seen before it, and any other gets in when it is refreshed; end the session at the provider first")
	default:
		all = append(all, "the token says nothing of its session (auth_time, sid, session_id, origin_jti): a refreshed token is good again after the user's tokens were revoked; end the session at the provider first")
	}
	return all
}

// segment decodes one of a token's first two parts.
func segment(s string) (decoded document, err error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err == nil {
		err = json.Unmarshal(text, &decoded)
	}
	if err == nil && decoded == nil {
		err = errors.New("not a JSON object")
	}
	return decoded, err
}
