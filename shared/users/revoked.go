package users

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"chat-service-backend/shared/identity"
	"chat-service-backend/shared/streamchat"
	"chat-service-backend/shared/streamrest"
)

// signedIn returns when a token's user signed in, which a refreshed token may be younger
// than, and false if the token says it in a way that cannot be read.
func signedIn(c identity.Claims) (time.Time, bool) {
	issued, _ := c.Issued()
	if _, set := c["auth_time"]; set {
		at, ok := c.Time("auth_time")
		switch {
		case ok && at.Sub(issued) > time.Hour: // such as milliseconds
			return time.Time{}, false
		case ok && issued.Before(at): // no token is issued before its user signs in
			at = issued
		}
		return at, ok
	}
	// Supabase says when each of the user's proofs was given.
	var proofs []struct{ Timestamp float64 }
	if json.Unmarshal(c["amr"], &proofs) == nil {
		var last float64
		for _, proof := range proofs {
			last = max(last, proof.Timestamp)
		}
		if at := time.Unix(int64(last), 0); last > 0 && at.Before(issued) {
			return at, true
		}
	}
	// Clerk says how old the first proof is, in minutes.
	var ages []float64
	if json.Unmarshal(c["fva"], &ages) == nil && len(ages) > 0 && ages[0] >= 0 {
		return issued.Add(-time.Duration(min(ages[0], 1e6)) * time.Minute), true
	}
	return issued, true
}

// session returns a hash of a token's session at the issuer, or "" if it names none. A
// refreshed token has the same session.
func session(c identity.Claims) string {
	for _, name := range []string{"sid", "session_id", "origin_jti", "session_state"} {
		if id, _ := c.Text(name); id != "" {
			sum := sha256.Sum256([]byte(name + " " + id))
			return base64.RawURLEncoding.EncodeToString(sum[:9])
		}
	}
	return ""
}

// end remembers, also at Stream, that a session ended with a revocation: it may get
// younger tokens from the issuer. It is not worth failing for.
func (d *Directory) end(ctx context.Context, credentials *streamchat.Credentials, id, session string, ended []string) {
	ended = append(slices.Clone(ended), session)
	ended = ended[max(0, len(ended)-maxSessions):]
	d.mu.Lock()
	if e := d.kept[id]; e != nil {
		e.ended = ended
		d.resize(id, e)
	}
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if _, err := d.client.change(ctx, credentials, id, document{endedSessions: ended}); err != nil {
		slog.WarnContext(ctx, "an ended session is remembered in this process only", "cause", err.Error())
	}
}

const (
	// usualAppLimit is how often a minute most apps may be read.
	usualAppLimit = 10_000
	// recount is after how long processes count themselves again if they are not few.
	recount, few = 5 * time.Second, 3
)

// appRevoked returns since when tokens of the whole app count, which Stream said within
// the last minute if it could be asked.
func (c *client) appRevoked(ctx context.Context, credentials *streamchat.Credentials) time.Time {
	c.app <- struct{}{} // others wait: a second at most
	defer func() { <-c.app }()
	if now().Before(c.due) {
		return c.revoked
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	// GET /app answers other secrets as well: only this is read.
	var answer struct {
		App struct {
			Revoked any `json:"revoke_tokens_issued_before"`
		}
	}
	header, err := c.send(ctx, credentials, http.MethodGet, "/app", nil, &answer)
	c.due = now().Add(keptFor)
	if l, ok := streamrest.Limit(header); ok && l.Limit > 0 { // and each process reads the app
		among := max(c.among, l.Limit-l.Remaining) // if the minute has just begun
		if l.Reset == c.reset {
			among = c.left - l.Remaining
		}
		c.among, c.left, c.reset = among, l.Remaining, l.Reset
		among = int64(usualAppLimit * float64(min(max(among, 1), usualAppLimit)) / float64(l.Limit))
		c.reads.share(among)
		c.creates.share(among)
		c.writes.share(among)
		if among > few {
			c.due = now().Add(recount)
		}
	}
	since, ok := moment(answer.App.Revoked)
	switch {
	case err != nil:
		c.due = now().Add(pause)
	case ok:
		c.revoked = since
	default: // what cannot be read counts against the users
		c.revoked = now()
	}
	return c.revoked
}
