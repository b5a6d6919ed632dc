package streamapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// A connection is a user's socket.
type connection struct {
	id, user string
	watching map[string]bool    // by cid; guarded by API.mu
	end      context.CancelFunc // ends the connection
	frames   chan []byte        // to be sent
}

const (
	// healthEvery is how often a socket gets an event, whatever happens. Stream's clients
	// connect anew after 35 s of silence.
	healthEvery = 25 * time.Second
	// maxBehind is how many events a socket may be behind, beside those in its buffers.
	maxBehind = 256
)

func (c *connection) send(frame []byte) {
	select {
	case c.frames <- frame:
	default:
		c.end() // it is too slow
	}
}

// connect serves a user's socket.
func (s *API) connect(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // who may ask was checked before
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &connection{id: rand.Text(), watching: map[string]bool{}, end: cancel, frames: make(chan []byte, maxBehind)}
	hello, err := s.welcome(r, c)
	if err != nil {
		_ = socket.Write(ctx, websocket.MessageText, fmtJSON(document{"error": errorDocument(err)}))
		_ = socket.Close(websocket.StatusNormalClosure, err.Error())
		cancel()
		return
	}
	go s.serveSocket(ctx, c, socket, hello) // the request, and its goroutine's larger stack, can go
}

func (s *API) serveSocket(ctx context.Context, c *connection, socket *websocket.Conn, hello []byte) {
	defer socket.CloseNow()
	defer c.end()
	defer s.leave(c)
	go func() { // what clients send are health checks
		defer c.end()
		for {
			if _, _, err := socket.Read(ctx); err != nil {
				return
			}
			c.send(c.health())
		}
	}()
	tick := time.Tick(healthEvery)
	for frame := hello; socket.Write(ctx, websocket.MessageText, frame) == nil; {
		select {
		case frame = <-c.frames:
		case <-tick:
			frame = c.health()
		case <-ctx.Done():
			return
		}
	}
}

func (c *connection) health() []byte {
	return fmtJSON(document{"type": "health.check", "cid": "*", "connection_id": c.id, "created_at": time.Now().UTC()})
}

// welcome registers a connection and returns its first event.
func (s *API) welcome(r *http.Request, c *connection) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hello struct {
		UserID  string   `json:"user_id"`
		Details document `json:"user_details"`
	}
	query := r.URL.Query()
	user, err := s.userOf(query.Get("api_key"), cmp.Or(query.Get("stream-auth-type"), r.Header.Get("Stream-Auth-Type")), cmp.Or(query.Get("authorization"), r.Header.Get("Authorization")))
	switch {
	case err != nil:
		return nil, err
	case user == "":
		return nil, badInput("a socket needs a user's token")
	case json.Unmarshal([]byte(query.Get("json")), &hello) != nil || hello.UserID != "" && hello.UserID != user:
		return nil, unauthorized(5, "the token is another user's than user_id says")
	}
	c.user = user
	set := changed(hello.Details, nil)
	for _, own := range []string{"role", "teams", "banned", "deactivated_at", "revoke_tokens_issued_before"} {
		delete(set, own)
	}
	s.known(user)
	s.change(s.users, user, changed(set, document{"online": true, "last_active": s.now()}))
	s.connections[c.id] = c
	s.tell("user.presence.changed", "", user, nil)
	me := changed(s.users[user], document{
		"devices": []any{}, "mutes": []any{}, "channel_mutes": []any{}, "blocked_user_ids": []any{}, "total_unread_count": 0,
		"unread_count": 0, "unread_channels": 0, "unread_threads": 0, "invisible": false, "language": "",
	})
	return fmtJSON(document{"type": "health.check", "cid": "*", "connection_id": c.id, "created_at": s.now(), "me": me}), nil
}

// leave forgets a connection. A user's last one makes them offline.
func (s *API) leave(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c.id)
	for _, other := range s.connections {
		if other.user == c.user {
			return
		}
	}
	if s.users[c.user] != nil {
		s.users[c.user] = changed(s.users[c.user], document{"online": false, "last_active": s.now()})
		s.tell("user.presence.changed", "", c.user, nil)
	}
	for cid := range c.watching {
		s.tell("user.watching.stop", cid, c.user, document{"watcher_count": s.watchers(cid)})
	}
}
