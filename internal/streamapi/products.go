package streamapi

import (
	"cmp"
	"net/http"
)

// productCalls are one call of each other product of Stream's: they have the chat's key,
// secret, server token and user tokens.
func (s *API) productCalls() {
	s.handle("POST /video/call/{type}/{id}", func(r *http.Request, body document) (document, error) {
		author := cmp.Or(caller(r), text(object(body["data"])["created_by_id"]))
		if author == "" {
			return nil, badInput("GetOrCreateCall failed with error: data.created_by_id must be provided when using server side auth")
		}
		call := document{"cid": cid(r), "type": r.PathValue("type"), "id": r.PathValue("id"), "created_by": s.known(author), "created_at": s.now()}
		return document{"call": call, "members": []any{}, "own_capabilities": []any{}, "created": true}, nil
	})
	s.handle("POST /feeds/feed_groups/{type}/feeds/{id}", func(r *http.Request, body document) (document, error) {
		author := cmp.Or(caller(r), text(body["user_id"]))
		if author == "" {
			return nil, badInput("GetOrCreateFeed failed with error: user_id must be provided when using server side auth")
		}
		feed := document{"feed": cid(r), "group_id": r.PathValue("type"), "id": r.PathValue("id"), "created_by": s.known(author), "created_at": s.now()}
		return document{"feed": feed, "activities": []any{}, "created": true}, nil
	})
}
