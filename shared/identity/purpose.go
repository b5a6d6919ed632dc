package identity

import (
	"slices"
	"strings"
)

// forCalls returns an error unless a token may be an id or access token, which apps send
// with their calls. An issuer signs other tokens with the same keys and for the same
// audience, such as the logout tokens that it sends to an app's servers, or refresh
// tokens. They differ in their type (RFC 8725 section 3.11), in having an events claim
// (RFC 8417 section 2.2) or in a claim that says what they are for.
func forCalls(header, c Claims) error {
	if header.has("typ") {
		name, _ := header.Text("typ")
		// "application/" may be omitted (RFC 7515 section 4.1.9).
		switch name = strings.TrimPrefix(strings.ToLower(name), "application/"); {
		case name == "jwt", name == "at+jwt":
		case refreshes(name):
			return errRefresh
		default:
			return errPurpose
		}
	}
	if c.has("events") {
		return errPurpose
	}
	if c.has("cnf") { // RFC 7800
		return errBound
	}
	for name := range c {
		mark := unspaced.Replace(strings.ToLower(name[strings.LastIndexByte(name, '/')+1:]))
		if !slices.Contains(marks, mark) {
			continue
		}
		for _, use := range c.values(name) {
			switch use = strings.ToLower(use); {
			case refreshes(use):
				return errRefresh
			case strings.Contains(use, "logout"), slices.Contains(purposes, mark) && slices.ContainsFunc(mailed, func(word string) bool { return strings.Contains(use, word) }):
				return errPurpose
			}
		}
	}
	if c.has("token_use") { // Cognito's
		if use, _ := c.Text("token_use"); use != "id" && use != "access" {
			return errPurpose
		}
	}
	return nil
}

// marks are claims that say what a token is for, in lower case without _ and -, and without
// the URL before them: Casdoor has tokenType (and in refresh tokens of its format JWT-Custom
// also TokenType), Pocket ID type, Authorizer token_type, Keycloak typ, ForgeRock tokenName,
// Quasr https://api.quasr.io/claims/typ. Descope has drn:
// https://docs.descope.com/session-overview
var marks = []string{"tokenuse", "tokentype", "tokenkind", "tokenname", "type", "typ", "use", "kind", "purpose", "drn"}

// unspaced removes what separates the words of a claim's name.
var unspaced = strings.NewReplacer("_", "", "-", "")

// mailed are words of the purposes, marks that are about nothing else, of what issuers send
// in links by e-mail. Authorizer has token_type: sign-up, magic link, forgotten password, new
// address, invitation; Keycloak has typ: reset-credentials, execute-actions, verify-email.
var (
	mailed   = []string{"signup", "magic", "password", "email", "invite", "verif", "reset", "execute-actions"}
	purposes = []string{"tokentype", "typ", "purpose"}
)

// refreshes reports whether a word for the use of a token, in lower case, is that of
// refresh tokens, or of Keycloak's offline ones.
func refreshes(use string) bool {
	return strings.Contains(use, "refresh") || strings.HasPrefix(use, "offline") || use == "rt+jwt" || use == "dsr"
}

// machine reports whether a token was issued to a client for itself, by the grant
// client_credentials, and not to a user. Its subject is then the client (RFC 9068
// section 2.2), in some form, unless the issuer says it in another way.
func machine(c Claims, claim string) bool {
	for _, name := range []string{"gty", "grant_type", "grantType"} {
		if slices.ContainsFunc(c.values(name), func(grant string) bool {
			return strings.EqualFold(strings.ReplaceAll(grant, "-", "_"), "client_credentials")
		}) {
			return true
		}
	}
	for _, client := range c.clients() {
		for _, name := range []string{"sub", claim} {
			switch id, _ := c.Text(name); id {
			case client, client + "@clients", "client-" + client, "client:" + client, "client|" + client, "service-account-" + client:
				return id != ""
			}
		}
		// Keycloak's.
		if name, _ := c.Text("preferred_username"); client != "" && strings.EqualFold(name, "service-account-"+client) {
			return true
		}
	}
	// Casdoor's users have any id, its applications owner/name, and a jti of their owner.
	sub, _ := c.Text("sub")
	jti, _ := c.Text("jti")
	if owner, _, ok := strings.Cut(sub, "/"); ok && c.has("tokenType") && strings.HasPrefix(jti, owner+"/") {
		return true
	}
	for name, value := range map[string]string{
		"idtyp":        "app",             // Entra ID, if it is switched on
		"type":         "application",     // Casdoor
		"aut":          "APPLICATION",     // WSO2: https://github.com/wso2/product-is/issues/11200
		"login_method": "service_account", // Authorizer
	} {
		if kind, _ := c.Text(name); kind == value {
			return true
		}
	}
	// Entra ID's tokens of a client that has proved who it is have a scope if there is a user.
	proof := slices.Concat(c.values("azpacr"), c.values("appidacr"))
	return anyOf(proof, []string{"1", "2"}) && !c.has("scp")
}

// clients returns all that may be the client that a token was issued to.
func (c Claims) clients() (clients []string) {
	for _, name := range []string{"client_id", "clientId", "azp", "cid", "appid", "aud"} {
		clients = append(clients, c.list(name)...)
	}
	return clients
}
