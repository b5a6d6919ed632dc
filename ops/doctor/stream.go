package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/ops/streamfile"
	"chat-service-backend/shared/streamrest"
)

// Stream's error codes. https://getstream.io/chat/docs/api_errors_response/
const (
	codeAccessKey = 2
	codeAuth      = 5
	codeSignature = 43
	codeSuspended = 99
)

func (d *doctor) streamApp(ctx context.Context) {
	header, err := d.readApp(ctx)
	if err != nil {
		var r *streamrest.Error
		errors.As(err, &r)
		base := d.stack.Parameters["StreamBaseUrl"]
		do := "see the log of the proxy function"
		switch {
		case r == nil:
			do = "check StreamBaseUrl (" + base + "): something else answers there, or nothing"
		case r.Code == codeAccessKey && regional.MatchString(base):
			do = "Stream does not know the API key at " + base + ": set StreamBaseUrl to the app's region, or copy the key from the dashboard, then " + d.again("params")
		case r.Code == codeAccessKey:
			do = "Stream does not know the API key: copy it from the dashboard, then " + d.again("params")
		case r.Code == codeAuth || r.Code == codeSignature:
			do = "the API secret is not that of the API key: copy both from the same app, then " + d.again("params")
		case r.Code == codeSuspended:
			do = "Stream has suspended the app: see its dashboard, or ask Stream's support"
		case r.Status == http.StatusTooManyRequests:
			do = "Stream limits the app's calls: wait a minute, and find out who calls (docs/monitoring.md)"
		case r.Status == http.StatusNotFound:
			do = "check StreamBaseUrl (" + base + "): it is not Stream's"
		case r.Code > 0 && r.Status >= 500:
			do = "Stream itself fails: https://status.getstream.io"
		case r.Code > 0:
			do = "look up Stream's code " + strconv.Itoa(r.Code) + ": https://getstream.io/chat/docs/api_errors_response/"
		case r.Status == http.StatusServiceUnavailable:
			do = "the functions cannot read key and secret: see values and key above, and the log of the proxy function"
		case r.Status == http.StatusForbidden:
			do = "allow " + d.stack.Outputs["ServiceApiArn"] + "/GET/proxy/app to your role or user"
		case r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout:
			do = "check StreamBaseUrl (" + base + ") and https://status.getstream.io"
		}
		d.bad("Stream", do, "cannot be called: %v", err)
		return
	}
	d.header = header
	d.has |= app
	d.ok("Stream", "accepts key and secret, of app %s", streamfile.Show(d.app["name"]))
}

func (d *doctor) readApp(ctx context.Context) (http.Header, error) {
	var answer struct{ App document }
	a, err := d.service.Send(ctx, http.MethodGet, "/proxy/app", nil)
	if err != nil {
		return nil, err
	}
	header := a.Header
	if err = a.Decode(&answer); a.Status >= 500 { // which a second try may mend
		header, err = d.service.Stream(ctx, http.MethodGet, "/app", nil, &answer)
	}
	if err == nil && answer.App == nil {
		err = errors.New("the answer has no app")
	}
	if err == nil {
		d.app = answer.App
	}
	return header, err
}

func placementOf(app document) string { return streamfile.Text(app["placement"]) }

func (d *doctor) appSettings(context.Context) {
	if d.app["suspended"] == true {
		d.bad("app", "ask Stream's support", "suspended: %s", streamfile.Show(d.app["suspended_explanation"]))
	}
	for field, what := range map[string]string{"disable_auth_checks": "anybody can connect as anybody", "disable_permissions_checks": "every user may do everything"} {
		if d.app[field] == true {
			d.bad("app", "set "+field+": false below app: in stream.yaml, then "+d.again("apply"), "%s is on: %s", field, what)
		}
	}
	if before, err := time.Parse(time.RFC3339, streamfile.Text(d.app["revoke_tokens_issued_before"])); err == nil && before.After(time.Now().Add(maxSkew)) {
		d.bad("app", "set it to a time that has passed: update the app's settings (PATCH /app) through /proxy", "revoke_tokens_issued_before is %s: until then Stream refuses every user token", before.UTC().Format(time.RFC3339))
	}
	if region := d.region(); region != "" {
		d.bad("app", "set StreamBaseUrl to the app's region, or to https://chat.stream-io-api.com, then "+d.again("deploy"),
			"StreamBaseUrl is in %s, and the app in %s", region, placementOf(d.app))
	}
	if version := streamfile.Text(d.app["permission_version"]); version != "v2" {
		d.warn("app", "see Permissions v1 in docs/ops.md", "has permissions %s, which Stream calls legacy", cmp.Or(version, "of an unknown version"))
	} else {
		d.ok("app", "has permissions v2")
	}
	limit, _ := strconv.Atoi(d.header.Get("X-Ratelimit-Limit"))
	left, _ := strconv.Atoi(d.header.Get("X-Ratelimit-Remaining"))
	if limit > 0 && left*10 < limit {
		d.warn("rate limits", "find out who calls (docs/monitoring.md), or ask Stream for a higher limit", "%d of %d calls are left in this minute", left, limit)
	} else if limit > 0 {
		d.ok("rate limits", "%d of %d calls are left in this minute", left, limit)
	}
}

// users finds out whether sign-ins make new users where the app had some before this stack:
// an id that differs from the one a user has costs them their chats, without an error.
func (d *doctor) users(ctx context.Context) {
	if d.stack.Created.IsZero() {
		return
	}
	type user struct {
		ID      string    `json:"id"`
		Created time.Time `json:"created_at"`
	}
	find := func(field, operator string, limit int) []user {
		query, _ := json.Marshal(document{
			"filter_conditions": document{field: document{operator: d.stack.Created}},
			"sort":              []any{document{"field": field, "direction": -1}}, "limit": limit,
		})
		var found struct{ Users []user }
		if _, err := d.service.Stream(ctx, http.MethodGet, "/users?payload="+url.QueryEscape(string(query)), nil, &found); err != nil {
			return nil
		}
		return slices.DeleteFunc(found.Users, func(u user) bool { return strings.HasPrefix(u.ID, "chat-service-doctor") })
	}
	before := find("created_at", "$lt", 2)
	last := find("last_active", "$gt", 30)
	if len(before) == 0 || len(last) == 0 {
		return
	}
	known := 0
	for _, u := range last {
		if u.Created.Before(d.stack.Created) {
			known++
		}
	}
	if known > 0 {
		d.ok("users", "%d of the last %d to connect were there before this stack", known, len(last))
		return
	}
	d.warn("users", "compare the ids, and choose UserIdClaim so that they agree: docs/existing-users.md",
		"the app had users before this stack, such as %s, and the last %d to connect are all new, such as %s", streamfile.Show(before[0].ID), len(last), streamfile.Show(last[0].ID))
}
