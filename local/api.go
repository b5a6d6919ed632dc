package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"chat-service-backend/internal/apigateway"
)

// What tests and tools call, beside what the page does.

// health says where everything is, and what the template's parameters are. It has no secret.
func (s *server) health() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	parameters := map[string]string{}
	for name := range s.template.Section("Parameters") {
		parameters[name] = s.stack.Parameter(name)
	}
	return map[string]any{
		"clientUrl": s.clientURL + s.basePath, "serviceUrl": s.serviceURL + s.basePath, "streamUrl": s.streamURL,
		"issuer": parameters["OidcIssuer"], "pageUrl": s.clientURL + pagePath, "parameters": parameters,
	}
}

// reset brings back the values, settings, clocks and stand-ins of the start.
func (s *server) reset(r *http.Request, _ string) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(s.standIns)) {
		s.standIns[name].Set(nil)
	}
	if s.memory != nil {
		s.memory.Replace(builtInValues(s.prefix()))
	}
	if s.chat != nil {
		s.chat.Reset()
		s.connectChat()
	}
	s.events.Forget()
	s.feed.reset()
	return "Everything is as at the start.", s.redeploy(r.Context(), maps.Clone(s.options.overrides), true) // functions remember values
}

// seed writes users, client configurations and values, and sets the clock of Stream.
func (s *server) seed(r *http.Request, body string) (string, error) {
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
	if (in.Config != nil || in.Values != nil) && s.memory == nil {
		return "", fmt.Errorf("the values come from %s: change them there", s.source())
	}
	if (in.Users != nil || in.Time != nil) && s.chat == nil {
		return "", errors.New("Stream is not the stand-in, so it takes no users from here")
	}
	for _, user := range in.Users {
		if err := s.chat.PutUser(user); err != nil {
			return "", err
		}
	}
	for kind, value := range in.Config {
		s.memory.Set(s.prefix()+"/client-config/"+kind, string(value))
	}
	for name, value := range in.Values {
		if !strings.HasPrefix(name, "/") {
			name = s.prefix() + "/" + name
		}
		s.memory.Set(name, value)
	}
	if in.Time != nil {
		s.chat.SetTime(*in.Time)
	}
	if in.Config != nil || in.Values != nil {
		return "Seeded.", s.redeploy(r.Context(), nil, true) // no test waits for a time to live
	}
	return "Seeded.", nil
}

// busEvents answers with the events of the bus since a time or since one that has a
// number. With wait, it holds the answer for some seconds until there is one.
func (s *server) busEvents(w http.ResponseWriter, r *http.Request) {
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
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(min(wait, 60))*time.Second)
	defer cancel()
	for {
		entries, next, arrived := s.events.Since(first)
		found := []events.EventBridgeEvent{} // as a rule's target gets them
		for _, e := range entries {
			if !e.At.Before(from) {
				found = append(found, events.EventBridgeEvent{
					Version: "0", ID: e.ID, DetailType: e.DetailType, Source: e.Source, AccountID: apigateway.AccountID,
					Time: e.At, Region: s.region, Resources: []string{}, Detail: json.RawMessage(e.Detail),
				})
			}
		}
		if len(found) > 0 || ctx.Err() != nil {
			answerJSON(w, http.StatusOK, map[string]any{"events": found, "next": strconv.Itoa(next)})
			return
		}
		select {
		case <-arrived:
		case <-ctx.Done():
		}
	}
}
