package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http/httptest"
	"os/exec"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/issuer"
	"chat-service-backend/shared/identity"
)

func TestExamplesKeepTheIDsThatUsersHave(t *testing.T) {
	i := &issuer.Issuer{Audience: "chat"}
	server := httptest.NewServer(i)
	defer server.Close()
	i.URL = server.URL
	env := map[string]string{"OIDC_ISSUER": i.URL, "OIDC_AUDIENCE": "chat", "USER_ID_CLAIM": "https://acme.com/chat_id"}
	callers, err := identity.FromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	script := `
		import action from './auth0-action.js';
		import { handler } from './cognito-trigger.mjs';
		const auth0 = async (user) => {
			const claims = {};
			await action.onExecutePostLogin({ user }, { accessToken: { setCustomClaim: (name, value) => { claims[name] = value } } });
			return claims;
		};
		const cognito = async (userAttributes) =>
			(await handler({ version: '2', request: { userAttributes } })).response.claimsAndScopeOverrideDetails.accessTokenGeneration.claimsToAddOrOverride;`
	tests := []struct{ call, sub, want, name string }{
		{"auth0({user_id: 'auth0|1', name: 'Jane', app_metadata: {chat_id: '4711'}})", "auth0|1", "4711", "Jane"},
		{"auth0({user_id: 'auth0|1', picture: ''})", "auth0|1", "auth0@-7C1", ""},
		{"cognito({sub: 'c5a1', name: 'Jane', 'custom:chat_id': '4711'})", "c5a1", "4711", "Jane"},
		{"cognito({sub: 'c5a1'})", "c5a1", "c5a1", ""},
	}
	for _, test := range tests {
		script += "\nconsole.log(JSON.stringify(await " + test.call + "));"
	}
	c := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", script)
	c.Dir = "existing-users"
	out, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) {
		awstest.Missing(t, "node is not installed")
	}
	lines := json.NewDecoder(bytes.NewReader(out))
	for _, test := range tests {
		var added map[string]any
		if decodeErr := lines.Decode(&added); err != nil || decodeErr != nil {
			t.Fatalf("%s: %v, %v: %s", test.call, err, decodeErr, out)
		}
		bearer := i.Bearer(test.sub, maps.Clone(added))
		caller, err := callers.Identify(t.Context(), "", []string{"Bearer " + bearer})
		if name, _ := caller.Claims.Text("https://acme.com/name"); err != nil || caller.UserID != test.want || name != test.name || len(added) > 2 {
			t.Errorf("%s: want user %q and name %q, got %q, %q with %v, %v", test.call, test.want, test.name, caller.UserID, name, added, err)
		}
	}
}
