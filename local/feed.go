package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxFeed is how many events are kept for a page that opens later, and how many
// an open page may lag behind.
const maxFeed = 200

// feed tells the open pages what happens.
type feed struct {
	mu    sync.Mutex
	last  []string // server-sent events
	pages map[chan string]bool
}

func (f *feed) send(name string, v map[string]any) {
	v["at"] = time.Now()
	data, _ := json.Marshal(v) // texts, numbers and times always encode
	event := "event: " + name + "\ndata: " + string(data) + "\n\n"
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last = append(f.last, event); len(f.last) > maxFeed {
		f.last = f.last[1:]
	}
	for page := range f.pages {
		select {
		case page <- event:
		default: // too slow: it misses this one
		}
	}
}

// ServeHTTP sends the latest events, and then new ones until the page closes.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mine := make(chan string, 2*maxFeed)
	f.mu.Lock()
	for _, event := range f.last {
		mine <- event
	}
	f.pages[mine] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.pages, mine)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for {
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case event := <-mine:
			io.WriteString(w, event)
		case <-r.Context().Done():
			return
		}
	}
}

// sendLog sends a line that a function logged, with the id of its request.
func (f *feed) sendLog(function string, line []byte) {
	var fields struct{ RequestID string }
	_ = json.Unmarshal(line, &fields) // a line that is not JSON belongs to no request
	f.send("log", map[string]any{"id": fields.RequestID, "function": function, "line": strings.TrimSuffix(string(line), "\n")})
}

// reset forgets what happened.
func (f *feed) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = nil
}
