package awstest

import (
	"net/http/httptest"
	"testing"

	"chat-service-backend/internal/issuer"
)

// Audience is the audience of an issuer's tokens.
const Audience = "chat-app"

// An Issuer is an [issuer.Issuer] with its own server.
type Issuer struct {
	issuer.Issuer

	server *httptest.Server
}

// NewIssuer starts an issuer that runs until t ends.
func NewIssuer(t testing.TB) *Issuer {
	i := &Issuer{Issuer: issuer.Issuer{Audience: Audience}}
	i.server = httptest.NewUnstartedServer(&i.Issuer)
	i.URL = "http://" + i.server.Listener.Addr().String()
	i.server.Start()
	t.Cleanup(i.server.Close)
	return i
}

// Env returns the environment of a function that trusts this issuer.
func (i *Issuer) Env() map[string]string {
	return map[string]string{"OIDC_ISSUER": i.URL, "OIDC_AUDIENCE": Audience}
}

// Stop makes the issuer unreachable.
func (i *Issuer) Stop() { i.server.Close() }

// Bearer returns a user's Authorization field, with claims over the usual ones.
func (i *Issuer) Bearer(userID string, claims map[string]any) string {
	return "Bearer " + i.Issuer.Bearer(userID, claims)
}
