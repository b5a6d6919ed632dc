package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"chat-service-backend/shared/httpjson"
	"chat-service-backend/shared/settings"
)

// algorithms are those with which a token may be signed: asymmetric ones only.
// With a symmetric one, everybody who can check a token could also make one.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// notBeforeLeeway is how far a token's nbf may lie in the future, since clocks
// differ. go-oidc allows five minutes.
const notBeforeLeeway = 5 * time.Second

// A tokenVerifier checks the bearer tokens of one issuer.
type tokenVerifier struct {
	verifier  *oidc.IDTokenVerifier
	audiences []string
	claim     string
}

// newTokenVerifier returns the verifier that the environment configures, or nil
// where it names no issuer.
func newTokenVerifier(getenv func(string) string) (*tokenVerifier, error) {
	issuer := getenv("OIDC_ISSUER")
	if issuer == "" {
		return nil, nil
	}
	u, err := settings.URL(getenv, "OIDC_ISSUER", "")
	if err != nil {
		return nil, err
	}
	var audiences []string
	for audience := range strings.SplitSeq(getenv("OIDC_AUDIENCE"), ",") {
		if audience = strings.TrimSpace(audience); audience != "" {
			audiences = append(audiences, audience)
		}
	}
	if len(audiences) == 0 {
		return nil, errors.New("OIDC_AUDIENCE: want the audience of the tokens that OIDC_ISSUER makes for this app, got nothing; without it, tokens made for any other app of that issuer would count")
	}
	claim := getenv("USER_ID_CLAIM")
	if claim == "" {
		claim = "sub"
	}
	config := &oidc.Config{
		// The audience is checked here, since go-oidc knows no client_id.
		SkipClientIDCheck: true,
	}
	for _, algorithm := range algorithms {
		config.SupportedSigningAlgs = append(config.SupportedSigningAlgs, string(algorithm))
	}
	return &tokenVerifier{
		// The issuer as it was configured: tokens name it to the letter.
		verifier:  oidc.NewVerifier(issuer, newKeySet(issuer, u), config),
		audiences: audiences,
		claim:     claim,
	}, nil
}

// claims are the ones that go-oidc leaves to its callers.
type claims struct {
	ClientID  string   `json:"client_id"`
	NotBefore *float64 `json:"nbf"`
}

// userID checks a token and returns its user id.
func (v *tokenVerifier) userID(ctx context.Context, raw string) (string, error) {
	var unreachable error
	token, err := v.verifier.Verify(context.WithValue(ctx, unreachableKey{}, &unreachable), raw)
	switch {
	case unreachable != nil:
		return "", &httpjson.Error{
			Status:  http.StatusServiceUnavailable,
			Message: "Your sign-in cannot be checked right now; try again in a moment.",
			Cause:   unreachable,
		}
	case err != nil:
		return "", invalid(withoutQuotes(err))
	}
	var c claims
	if token.Claims(&c) != nil {
		return "", invalid(errUnreadable)
	}
	if c.NotBefore != nil && *c.NotBefore > float64(time.Now().Add(notBeforeLeeway).Unix()) {
		return "", invalid(errors.New("the token is not valid yet"))
	}
	if !v.forUs(token.Audience, c.ClientID) {
		return "", invalid(errors.New("the token is for another audience"))
	}
	var all map[string]json.RawMessage
	if token.Claims(&all) != nil {
		return "", invalid(errUnreadable)
	}
	var id string
	if err := json.Unmarshal(all[v.claim], &id); err != nil || id == "" {
		return "", invalid(fmt.Errorf("the token has no text in claim %q", v.claim))
	}
	return id, nil
}

var errUnreadable = errors.New("the token cannot be read, or its algorithm is none that counts")

// withoutQuotes returns in words of our own what go-oidc has against a token:
// its own may quote the token, and go to the log.
func withoutQuotes(err error) error {
	if _, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		return errors.New("the token has expired")
	}
	switch text := err.Error(); {
	case strings.HasPrefix(text, "failed to verify signature"):
		return errors.New("no key of the issuer fits the token's signature")
	case strings.HasPrefix(text, "oidc: id token issued by a different provider"):
		return errors.New("the token is another issuer's")
	}
	return errUnreadable
}

// forUs says whether a token with this audience, or this client id and no
// audience, is meant for this app.
//
// Cognito's access tokens have a client_id and no aud:
// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
func (v *tokenVerifier) forUs(audience []string, clientID string) bool {
	if len(audience) == 0 {
		audience = []string{clientID}
	}
	return slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.audiences, a) })
}

// invalid is the error for a bearer token that is no good. What exactly is
// wrong with it is the log's business: an attacker would like to know, too.
func invalid(cause error) error {
	return &httpjson.Error{
		Status:  http.StatusUnauthorized,
		Message: "The bearer token is not valid (any more); sign in again.",
		Cause:   cause,
	}
}
