package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"chat-service-backend/internal/standin"
	"chat-service-backend/internal/streamapi"
)

// exchange is a request that the server sent for the page, and its answer.
type exchange struct {
	Status int     `json:"status"` // 0 if there is no answer
	Text   string  `json:"text"`   // "200 OK", or why there is none
	MS     float64 `json:"ms"`
	Sent   string  `json:"sent"`
	Got    string  `json:"got"`
	Curl   string  `json:"curl"`
}

// send sends a request. shown is its body in a form fit for reading; err says why there
// is no request.
func send(request *http.Request, shown string, err error) (e exchange) {
	if err != nil {
		e.Text = "Not sent: " + err.Error()
		return e
	}
	e.Sent = request.Method + " " + request.URL.RequestURI() + "\n"
	e.Curl = "curl -i"
	if request.Method != http.MethodGet {
		e.Curl += " -X " + request.Method
	}
	for _, name := range slices.Sorted(maps.Keys(request.Header)) {
		field := name + ": " + request.Header.Get(name)
		e.Sent += field + "\n"
		e.Curl += " -H " + quote(field)
	}
	if shown != "" {
		e.Sent += "\n" + shown
		data := " -d " + quote(shown)
		if request.Header.Get("Content-Encoding") == "gzip" {
			e.Curl, data = "printf %s "+quote(shown)+" | gzip | "+e.Curl, " --data-binary @-"
		}
		e.Curl += data
	}
	e.Curl += " " + quote(request.URL.String())
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	e.MS = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		e.Text = "No answer: " + err.Error()
		return e
	}
	defer response.Body.Close()
	e.Status, e.Text = response.StatusCode, response.Status
	var got strings.Builder
	_ = response.Header.Write(&got) // a Builder takes everything
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	e.Got = strings.ReplaceAll(got.String(), "\r\n", "\n") + "\n" + string(body)
	return e
}

// quote quotes text for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// call sends the request that the page describes, as the caller it names.
func (s *server) call(r *http.Request) exchange {
	var in struct{ Who, User, API, Method, Path, Body string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
		return send(nil, "", err)
	}
	if in.Method == http.MethodGet {
		in.Body = ""
	}
	url := s.clientURL
	if in.API == "service" {
		url = s.serviceURL
	}
	if !strings.HasPrefix(in.Path, "/") { // "@host" would make the address a user's name
		return send(nil, "", errors.New("the path must begin with a slash"))
	}
	request, err := http.NewRequestWithContext(r.Context(), in.Method, url+s.basePath+in.Path, strings.NewReader(in.Body))
	if err == nil && in.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if err == nil && in.Who != "nobody" {
		err = s.identify(request, in.API, in.Who, in.User)
	}
	return send(request, in.Body, err)
}

// identify makes a caller known: a service names its user in a header, everybody
// else has a bearer token, which may only look like one of the issuer's.
func (s *server) identify(request *http.Request, api, who, user string) error {
	if api == "service" {
		request.Header.Set(s.parameter("UserIdHeaderKey"), user)
		return nil
	}
	if s.issuer == nil {
		return errors.New("this server has no issuer of its own: get a token from yours, and call with curl")
	}
	claims := map[string]any{}
	if who == "expired" {
		claims["exp"] = time.Now().Add(-time.Hour).Unix()
	}
	bearer := s.issuer.Bearer(user, claims)
	if who == "forged" {
		bearer = bearer[:len(bearer)-8] + "AAAAAAAA"
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	return nil
}

// sendWebhook plays Stream: it signs an event and sends it to the webhook route.
func (s *server) sendWebhook(r *http.Request) exchange {
	event, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return send(nil, "", err)
	}
	values, err := s.values()
	if err != nil {
		return send(nil, "", fmt.Errorf("no secret to sign with: %w", err))
	}
	kind, secret, shown := r.URL.Query().Get("kind"), values[s.prefix()+"/stream/api-secret"], string(event)
	switch kind {
	case "forged":
		secret = "somebody else's"
	case "large":
		event = append(event, bytes.Repeat([]byte(" "), maxEvent)...)
		shown = fmt.Sprintf("(the event, and %d spaces)", maxEvent)
	}
	request, err := streamapi.Webhook(r.Context(), s.clientURL+s.basePath+"/webhook", values[s.prefix()+"/stream/api-key"], secret, standin.UUID(), 1, event, kind == "gzip")
	return send(request, shown, err)
}
