package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/userid"
)

// defaultMaxLifetime is the default of MAX_TOKEN_LIFETIME. Access tokens are valid for a
// day at most at most issuers, refresh tokens for at least a week.
const defaultMaxLifetime = 48 * time.Hour

// A trusted is an issuer as one of its names stands in tokens.
type trusted struct {
	*policy
	keys *keySet
}

// A policy says which tokens of an issuer count, and who their users are.
type policy struct {
	names       []string
	prefix      string // of its users' ids
	audiences   []audience
	claim       string // identifies the user
	required    []requirement
	maxLifetime time.Duration
	discovery   *url.URL
	jwks        *url.URL
}

// An audience is what a token must be for: the audience name, issued to the client party.
// Either may be "", for any. A machine's token is one that the party got for itself.
type audience struct {
	name, party string
	machine     bool
}

// A requirement is a claim and the values of which it must have one.
type requirement struct {
	claim  string
	values []string
}

// issuers are the trusted issuers, by the exact text of their tokens' iss claim.
type issuers map[string]*trusted

// An Issuer is a trusted issuer, for a tool that examines the configuration.
type Issuer struct {
	Name      string   // iss of its tokens
	Audiences []string // aud of its tokens
	keys      *keySet
}

// Issuers returns the trusted issuers in the order of their names.
func (c *Callers) Issuers() []Issuer {
	var all []Issuer
	for name, i := range c.issuers {
		var names []string
		for _, a := range i.audiences {
			if a.name != "" {
				names = append(names, a.name)
			}
		}
		all = append(all, Issuer{name, names, i.keys})
	}
	slices.SortFunc(all, func(a, b Issuer) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// FetchKeys fetches the issuer's keys, as the first token of that issuer does.
func (i Issuer) FetchKeys(ctx context.Context) error {
	_, err := i.keys.verify(ctx, func(key) bool { return true })
	return err
}

// Skipped describes the keys that FetchKeys has found and that no token can be verified
// with, and why.
func (i Issuer) Skipped() []string {
	i.keys.mu.Lock()
	defer i.keys.mu.Unlock()
	return slices.Clone(i.keys.skipped)
}

// issuersFromEnv reads the lists that [FromEnv] describes.
func issuersFromEnv(getenv func(string) string) (issuers, error) {
	maxAge, err := settings.Seconds(getenv, "OIDC_KEY_MAX_AGE", defaultMaxAge)
	if err == nil && maxAge > staleFor {
		err = fmt.Errorf("OIDC_KEY_MAX_AGE: too long, since a withdrawn key must end; use at most %.0f seconds", staleFor.Seconds())
	}
	if err != nil {
		return nil, err
	}
	maxLifetime, err := settings.Seconds(getenv, "MAX_TOKEN_LIFETIME", defaultMaxLifetime)
	if err != nil {
		return nil, err
	}
	policies, byPrefix, err := parseIssuers(getenv("OIDC_ISSUER"))
	if err != nil {
		return nil, err
	}
	if len(policies) == 0 {
		return nil, nil
	}

	for _, l := range []struct {
		variable string
		set      func(p *policy, value string) error
	}{
		{"OIDC_AUDIENCE", (*policy).setAudience},
		{"OIDC_DISCOVERY_URL", func(p *policy, value string) (err error) {
			p.discovery, err = address("OIDC_DISCOVERY_URL", strings.TrimSuffix(value, "/"+wellKnown))
			return err
		}},
		{"OIDC_JWKS_URL", func(p *policy, value string) (err error) {
			p.jwks, err = address("OIDC_JWKS_URL", value)
			return err
		}},
		{"USER_ID_CLAIM", func(p *policy, value string) error {
			if p.claim != "" {
				return fmt.Errorf("USER_ID_CLAIM: one issuer has the claims %q and %q; name one", p.claim, value)
			}
			p.claim = value
			return nil
		}},
		{"REQUIRED_CLAIMS", (*policy).require},
	} {
		if err := assign(byPrefix, l.variable, getenv(l.variable), l.set); err != nil {
			return nil, err
		}
	}
	all := issuers{}
	for _, p := range policies {
		if err := p.addTo(all, maxAge); err != nil {
			return nil, err
		}
	}
	for _, p := range policies {
		if len(p.audiences) == 0 {
			return nil, fmt.Errorf("OIDC_AUDIENCE: the audience of the tokens that %s issues for this app is missing; without it, tokens for any other app of that issuer would be accepted", p.names[0])
		}
		if p.claim == "" {
			p.claim = "sub"
		}
		p.maxLifetime = maxLifetime
	}
	return all, nil
}

// parseIssuers returns the policies of OIDC_ISSUER, with nothing but names, in order and
// by prefix.
func parseIssuers(text string) (policies []*policy, byPrefix map[string]*policy, err error) {
	byPrefix = map[string]*policy{}
	named := map[string]bool{}
	for _, item := range list(text) {
		prefix, names, ok := strings.Cut(item, "=")
		if !ok || strings.Contains(prefix, ":") {
			prefix, names = "", item
		} else if !userid.ValidPrefix(prefix) {
			return nil, nil, errors.New("OIDC_ISSUER: a prefix is not 1 to 32 letters, digits, _ and -; write prefix=issuer")
		}
		if byPrefix[prefix] != nil {
			return nil, nil, fmt.Errorf("OIDC_ISSUER: %q needs a prefix of its own, as in staff=https://host/path; join the names of one issuer with |", item)
		}
		p := &policy{names: strings.Split(names, "|"), prefix: prefix}
		for _, name := range p.names {
			if name == "" || named[name] {
				return nil, nil, fmt.Errorf("OIDC_ISSUER: %q has an empty name, or one that is there twice; name each issuer once", item)
			}
			named[name] = true
		}
		byPrefix[prefix], policies = p, append(policies, p)
	}
	return policies, byPrefix, nil
}

// assign sets a variable's values in the policies whose prefixes they have.
func assign(byPrefix map[string]*policy, variable, text string, set func(*policy, string) error) error {
	for _, item := range list(text) {
		prefix, value, _ := strings.Cut(item, "=")
		p := byPrefix[prefix]
		if p == nil || prefix == "" {
			p, value = byPrefix[""], item
		}
		if p == nil {
			return fmt.Errorf("%s: %q does not begin with the prefix of an issuer and =; every issuer has one", variable, item)
		}
		if value == "" {
			return fmt.Errorf("%s: %q has no value after the prefix", variable, item)
		}
		if err := set(p, value); err != nil {
			return err
		}
	}
	return nil
}

// setAudience adds an item of OIDC_AUDIENCE: an audience, azp:client, machine:client, or an
// audience, + and one of those.
func (p *policy) setAudience(value string) error {
	a := audience{name: value}
	for _, mark := range []string{"azp:", "machine:"} {
		name, party, ok := strings.Cut(value, "+"+mark)
		if !ok {
			name = ""
			party, ok = strings.CutPrefix(value, mark)
		}
		switch {
		case ok && party == "":
			return fmt.Errorf("OIDC_AUDIENCE: there is no client after %s; write %sclient", mark, mark)
		case ok:
			a = audience{name, party, mark == "machine:"}
		}
	}
	p.audiences = append(p.audiences, a)
	return nil
}

// require adds an item of REQUIRED_CLAIMS.
func (p *policy) require(value string) error {
	claim, values, ok := strings.Cut(value, "=")
	r := requirement{claim, strings.Split(values, "|")}
	if !ok || claim == "" || slices.Contains(r.values, "") {
		return fmt.Errorf("REQUIRED_CLAIMS: %q is not claim=value; separate several values with |", value)
	}
	p.required = append(p.required, r)
	return nil
}

// addTo adds the issuer to all by each of its names. A name that is not a URL has the keys
// of the first that is.
func (p *policy) addTo(all issuers, maxAge time.Duration) error {
	var first *keySet
	if p.jwks != nil || p.discovery != nil {
		first = newKeySet(maxAge)
		first.names, first.fixed, first.base = p.names, p.jwks, p.discovery
	}
	own := first == nil // each URL has keys of its own
	var rest []string
	for _, name := range p.names {
		base, err := address("OIDC_ISSUER", name)
		switch {
		case own && err == nil:
			keys := newKeySet(maxAge)
			keys.names, keys.base = p.names, base
			all[name] = &trusted{p, keys}
			first = cmp.Or(first, keys)
			continue
		case own && strings.Contains(name, "://"):
			return err
		case !own && err == nil:
			first.base = cmp.Or(first.base, base) // for its userinfo endpoint
		}
		rest = append(rest, name)
	}
	if first == nil {
		return fmt.Errorf("OIDC_ISSUER: %q is not an https URL, so nobody knows where its keys are; set OIDC_DISCOVERY_URL or OIDC_JWKS_URL", p.names[0])
	}
	for _, name := range rest {
		all[name] = &trusted{p, first}
	}
	return nil
}

// list returns the items of a comma-separated list.
func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// address returns a URL to fetch a document from.
func address(variable, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		// Without the text, which may contain a password.
		return nil, fmt.Errorf("%s: this is not a URL like https://host/path", variable)
	}
	if !settings.Secure(u) {
		return nil, fmt.Errorf("%s: this is not an https URL; http is for localhost only", variable)
	}
	return u, nil
}
