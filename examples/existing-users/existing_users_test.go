package existingusers

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os/exec"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/internal/issuer"
	"chat-service-backend/shared/identity"
)

// claims runs JavaScript that prints the claims which one of the examples adds.
func claims(t *testing.T, script string) (added map[string]any) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		awstest.Missing(t, "node")
	}
	out, err := exec.Command(node, "--input-type=module", "-e", script).Output()
	if err == nil {
		err = json.Unmarshal(out, &added)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return added
}

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
	const (
		auth0 = `import action from './auth0-action.js'; const claims = {};
			await action.onExecutePostLogin({user: USER}, {accessToken: {setCustomClaim: (name, value) => { claims[name] = value }}});
			console.log(JSON.stringify(claims))`
		cognito = `import { handler } from './cognito-trigger.mjs';
			const { response } = await handler({version: '2', request: {userAttributes: USER}});
			console.log(JSON.stringify(response.claimsAndScopeOverrideDetails.accessTokenGeneration.claimsToAddOrOverride))`
	)
	for user, test := range map[string]struct{ script, sub, want, name string }{
		`{user_id: 'auth0|1', name: 'Jane', app_metadata: {chat_id: '4711'}}`: {auth0, "auth0|1", "4711", "Jane"},
		`{user_id: 'auth0|1', picture: ''}`:                                   {auth0, "auth0|1", "auth0@-7C1", ""},
		`{sub: 'c5a1', name: 'Jane', 'custom:chat_id': '4711'}`:               {cognito, "c5a1", "4711", "Jane"},
		`{sub: 'c5a1'}`: {cognito, "c5a1", "c5a1", ""},
	} {
		added := claims(t, "const USER = "+user+"; "+test.script)
		changes := maps.Clone(added)
		bearer := i.Bearer(test.sub, changes)
		caller, err := callers.Identify(t.Context(), "", []string{"Bearer " + bearer})
		if name, _ := caller.Claims.Text("https://acme.com/name"); err != nil || caller.UserID != test.want || name != test.name || len(added) > 2 {
			t.Errorf("%s: want user %q and name %q, got %q, %q with %v, %v", user, test.want, test.name, caller.UserID, name, added, err)
		}
	}
}
