package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"chat-service-backend/shared/settings"
	"chat-service-backend/shared/userid"
)

// issuers are the trusted issuers, by the exact text of their tokens' iss claim.
type issuers map[string]*tokenVerifier

// An Issuer is a trusted issuer, for a tool that examines the configuration.
type Issuer struct {
	Name      string   // iss of its tokens
	Audiences []string // aud of its tokens
	keys      *keySet
}

// Issuers returns the trusted issuers in the order of their names.
func (c *Callers) Issuers() []Issuer {
	var all []Issuer
	for _, name := range slices.Sorted(maps.Keys(c.issuers)) {
		v := c.issuers[name]
		all = append(all, Issuer{name, v.audiences, v.keys})
	}
	return all
}

// FetchKeys fetches the issuer's keys, as the first token of that issuer does.
func (i Issuer) FetchKeys(ctx context.Context) error {
	_, _, err := i.keys.get(ctx, "")
	return err
}

// issuersFromEnv reads the lists that [FromEnv] describes.
func issuersFromEnv(getenv func(string) string) (issuers, error) {
	all, byPrefix := issuers{}, map[string]*tokenVerifier{}
	for _, item := range list(getenv("OIDC_ISSUER")) {
		prefix, name, ok := strings.Cut(item, "=")
		if !ok || strings.Contains(prefix, ":") {
			prefix, name = "", item
		} else if !userid.ValidPrefix(prefix) {
			return nil, errors.New("OIDC_ISSUER: want a prefix of 1 to 32 letters, digits, _ and - before the =, got something else")
		}
		address, err := baseURL("OIDC_ISSUER", name)
		switch {
		case err != nil:
			return nil, err
		case all[name] != nil || byPrefix[prefix] != nil:
			return nil, fmt.Errorf("OIDC_ISSUER: want one issuer without a prefix, and each other with a prefix of its own, as in staff=https://host/path, got another %q", item)
		}
		v := &tokenVerifier{prefix: prefix, keys: newKeySet(name, address)}
		all[name], byPrefix[prefix] = v, v
	}
	if len(all) == 0 {
		return nil, nil
	}

	for _, l := range []struct {
		variable, text string
		set            func(v *tokenVerifier, value string) error
	}{
		{"OIDC_AUDIENCE", getenv("OIDC_AUDIENCE"), func(v *tokenVerifier, value string) error {
			party, ok := strings.CutPrefix(value, "azp:")
			switch {
			case ok && party == "":
				return errors.New("OIDC_AUDIENCE: want a party after azp:, got nothing")
			case ok:
				v.parties = append(v.parties, party)
			default:
				v.audiences = append(v.audiences, value)
			}
			return nil
		}},
		{"OIDC_DISCOVERY_URL", getenv("OIDC_DISCOVERY_URL"), func(v *tokenVerifier, value string) (err error) {
			v.keys.url, err = baseURL("OIDC_DISCOVERY_URL", value)
			return err
		}},
		{"USER_ID_CLAIM", getenv("USER_ID_CLAIM"), func(v *tokenVerifier, value string) error {
			if v.claim != "" {
				return fmt.Errorf("USER_ID_CLAIM: want one claim for each issuer, got %q besides %q", value, v.claim)
			}
			v.claim = value
			return nil
		}},
	} {
		for _, item := range list(l.text) {
			prefix, value, _ := strings.Cut(item, "=")
			v := byPrefix[prefix]
			if v == nil || prefix == "" {
				v, value = byPrefix[""], item
			}
			if v == nil {
				return nil, fmt.Errorf("%s: want each item to begin with the prefix of an issuer and =, got %q", l.variable, item)
			}
			if value == "" {
				return nil, fmt.Errorf("%s: want a value after the prefix, got %q", l.variable, item)
			}
			if err := l.set(v, value); err != nil {
				return nil, err
			}
		}
	}
	for name, v := range all {
		if len(v.audiences)+len(v.parties) == 0 {
			return nil, fmt.Errorf("OIDC_AUDIENCE: want the audience of the tokens that %s issues for this app, got nothing; without it, tokens for any other app of that issuer would be accepted", name)
		}
		if v.claim == "" {
			v.claim = "sub"
		}
	}
	return all, nil
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

func baseURL(variable, text string) (*url.URL, error) {
	return settings.URL(func(string) string { return text }, variable, "")
}
