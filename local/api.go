package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"chat-service-backend/internal/apigateway"
)

// What tests and tools call, beside what the page does.

// health says where everything is. It has no secret.
type health struct {
	ClientURL  string            `json:"clientUrl"`
	ServiceURL string            `json:"serviceUrl"`
	StreamURL  string            `json:"streamUrl"`
	Issuer     string            `json:"issuer"`
	PageURL    string            `json:"pageUrl"`
	Parameters map[string]string `json:"parameters"` // of the template
}

func (p *page) health() health {
	p.mu.Lock()
	defer p.mu.Unlock()
	parameters := map[string]string{}
	for name := range p.template.Section("Parameters") {
		parameters[name] = p.stack.Parameter(name)
	}
	return health{p.clientURL + p.basePath, p.serviceURL + p.basePath, p.streamURL, parameters["OidcIssuer"], p.clientURL + pagePath, parameters}
}

// reset brings back the values, settings, clocks and stand-ins of the start.
func (p *page) reset(r *http.Request, _ string) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(p.standIns)) {
		p.standIns[name].Set(nil)
	}
	if p.memory != nil {
		p.memory.Replace(builtInValues(p.prefix()))
	}
	if p.chat != nil {
		p.chat.Reset()
		p.connectChat()
	}
	p.events.Forget()
	p.feed.reset()
	return "Everything is as at the start.", p.redeploy(r.Context(), maps.Clone(p.options.overrides), true) // functions remember values
}

// seed writes users, client configurations and values, and sets the clock of Stream.
func (p *page) seed(r *http.Request, body string) (string, error) {
	var in struct {
		Users  []map[string]any           `json:"users"`
		Config map[string]json.RawMessage `json:"config"` // by client type
		Values map[string]string          `json:"values"` // by name below ParameterPrefix, or in full
		Time   *time.Time                 `json:"time"`
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return "", fmt.Errorf(`the body is not {"users": [...], "config": {...}, "values": {...}, "time": "..."}: %w`, err)
	}
	if (in.Config != nil || in.Values != nil) && p.memory == nil {
		return "", fmt.Errorf("the values come from %s: change them there", p.source())
	}
	if (in.Users != nil || in.Time != nil) && p.chat == nil {
		return "", errors.New("Stream is not the stand-in, so it takes no users from here")
	}
	for _, user := range in.Users {
		if err := p.chat.PutUser(user); err != nil {
			return "", err
		}
	}
	for kind, value := range in.Config {
		p.memory.Set(p.prefix()+"/client-config/"+kind, string(value))
	}
	for name, value := range in.Values {
		if !strings.HasPrefix(name, "/") {
			name = p.prefix() + "/" + name
		}
		p.memory.Set(name, value)
	}
	if in.Time != nil {
		p.chat.SetTime(*in.Time)
	}
	if in.Config != nil || in.Values != nil {
		return "Seeded.", p.restart(r.Context()) // no test waits for a time to live
	}
	return "Seeded.", nil
}

// A busEvent is an event as a rule's target gets it.
type busEvent struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// busEvents answers with the events of the bus since a time or since one that has a
// number. With wait, it holds the answer for some seconds until there is one.
func (p *page) busEvents(w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	first, err := strconv.Atoi(since)
	var from time.Time
	if err != nil && since != "" {
		if from, err = time.Parse(time.RFC3339, since); err != nil {
			http.Error(w, fmt.Sprintf("since=%q is neither a number of this server's nor a time like 2026-01-31T12:00:00Z", since), http.StatusBadRequest)
			return
		}
	}
	wait, _ := strconv.Atoi(r.URL.Query().Get("wait"))
	limit := time.NewTimer(time.Duration(min(max(wait, 0), 60)) * time.Second)
	defer limit.Stop()
	for {
		entries, next, arrived := p.events.Since(first)
		events := []busEvent{}
		for _, e := range entries {
			if !e.At.Before(from) {
				events = append(events, busEvent{"0", e.ID, e.DetailType, e.Source, apigateway.AccountID, e.At, p.region, []string{}, json.RawMessage(e.Detail)})
			}
		}
		if len(events) > 0 || wait <= 0 {
			answerJSON(w, map[string]any{"events": events, "next": strconv.Itoa(next)})
			return
		}
		select {
		case <-arrived:
		case <-limit.C:
			wait = 0
		case <-r.Context().Done():
			return
		}
	}
}

// tools answers what is on both ports.
func (p *page) tools(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pagePath+"health", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, p.health()) })
	mux.HandleFunc("GET "+pagePath+"events", p.busEvents)
	mux.HandleFunc("POST "+pagePath+"trigger", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, p.sendWebhook(r)) })
	mux.HandleFunc("POST "+pagePath+"reset", change(p.reset))
	mux.HandleFunc("POST "+pagePath+"seed", change(p.seed))
	mux.HandleFunc("PUT "+pagePath+"faults/{name}", change(p.switchStandIn))
}
