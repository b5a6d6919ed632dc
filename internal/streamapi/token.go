package streamapi

import (
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// userOf checks a key and a token, and returns its user, or "" for a server's token.
// The caller holds s.mu.
func (s *API) userOf(key, kind, token string) (user string, err error) {
	own, secrets, err := s.credentials()
	switch {
	case err != nil:
		return "", err
	case key != own:
		return "", unauthorized(2, "api_key not valid")
	case kind != "jwt":
		return "", unauthorized(5, "Stream-Auth-Type must be jwt")
	case token == "":
		return "", unauthorized(5, "Authorization is missing")
	}
	var claims jwt.MapClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithoutClaimsValidation(), jwt.WithJSONNumber())
	for _, secret := range secrets {
		claims = jwt.MapClaims{}
		if _, err = parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err == nil {
			break
		}
	}
	user = text(claims["user_id"])
	switch now := s.clock().Unix(); {
	case err != nil:
		return "", unauthorized(43, "JWTAuth error: signature is not valid")
	case !claims.VerifyExpiresAt(now, false):
		return "", unauthorized(40, "JWTAuth error: token is expired (exp)")
	case !claims.VerifyNotBefore(now, false):
		return "", unauthorized(41, "JWTAuth error: token is not valid yet (nbf)")
	case !claims.VerifyIssuedAt(now, false):
		return "", unauthorized(42, "JWTAuth error: token used before issue at (iat)")
	case claims["server"] == true:
		return "", nil
	case user == "":
		return "", unauthorized(5, "the token is neither a server's nor has a user_id")
	case s.deleted[user] != nil || s.users[user]["deactivated_at"] != nil:
		return "", unauthorized(5, "user "+user+" was deleted or deactivated")
	}
	issued, _ := strconv.ParseInt(textOf(claims["iat"]), 10, 64)
	for _, revoked := range []any{s.users[user]["revoke_tokens_issued_before"], s.app()["revoke_tokens_issued_before"]} {
		if before, err := time.Parse(time.RFC3339, text(revoked)); err == nil && time.Unix(issued, 0).Before(before) {
			return "", unauthorized(40, "This token has been revoked, please generate a new token")
		}
	}
	return user, nil
}
