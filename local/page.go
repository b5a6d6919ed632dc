package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"chat-service-backend/internal/parameterstore"
	"chat-service-backend/internal/standin"
	"chat-service-backend/internal/streamapi"
	"chat-service-backend/shared/httpjson"
)

//go:embed page
var pageFiles embed.FS

// pagePath is where the Client API's address has the page and all it needs.
const pagePath = "/.local/"

// page answers below pagePath: what shows the whole service in a browser and lets its user
// change it, and what tests and tools call, on both ports.
func (s *server) page() http.Handler {
	files, _ := fs.Sub(pageFiles, "page") // a valid path never fails
	mux := http.NewServeMux()
	mux.HandleFunc(pagePath, func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(s.stream.Addr().String())
		stream := net.JoinHostPort(hostname(r.Host), port)
		w.Header().Set("Content-Security-Policy", "default-src 'self'; connect-src 'self' http://"+stream+" ws://"+stream+"; img-src data:; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-cache")
		http.StripPrefix(pagePath, http.FileServerFS(files)).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET "+pagePath+"state", s.state)
	mux.HandleFunc("GET "+pagePath+"live", s.feed.ServeHTTP)
	mux.HandleFunc("PUT "+pagePath+"parameters/{name...}", change(s.writeParameter))
	mux.HandleFunc("DELETE "+pagePath+"parameters/{name...}", change(s.deleteParameter))
	mux.HandleFunc("PUT "+pagePath+"settings/{name}", change(s.set))
	mux.HandleFunc("POST "+pagePath+"rotate", change(s.rotate))
	mux.HandleFunc("POST "+pagePath+"call", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, http.StatusOK, s.call(r)) })
	// The Service API on the page's own origin, for Swagger UI: the API itself
	// refuses requests from another origin's page.
	mux.HandleFunc(servicePath+"/", func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = strings.TrimPrefix(r.RequestURI, servicePath)
		s.serviceAPI.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET "+docsPath, s.docs)
	mux.HandleFunc("GET "+docsPath+"openapi.json", s.openAPI)
	mux.HandleFunc("GET "+pagePath+"health", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, s.health()) })
	mux.HandleFunc("GET "+pagePath+"events", s.busEvents)
	mux.HandleFunc("POST "+pagePath+"trigger", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, http.StatusOK, s.sendWebhook(r)) })
	mux.HandleFunc("POST "+pagePath+"reset", change(s.reset))
	mux.HandleFunc("POST "+pagePath+"seed", change(s.seed))
	mux.HandleFunc("PUT "+pagePath+"faults/{name}", change(s.switchStandIn))
	return mux
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	_ = httpjson.Write(w, status, v)
}

// state answers with what the page shows, apart from events. It has no secret.
func (s *server) state(w http.ResponseWriter, _ *http.Request) {
	type list []map[string]any
	standIns, parameters, settings := list{}, list{}, list{}
	for _, name := range slices.Sorted(maps.Keys(s.standIns)) {
		standIns = append(standIns, map[string]any{"name": name, "on": !s.standIns[name].Faulty()})
	}
	values, _ := s.values() // without them there is nothing to show
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if short, ok := strings.CutPrefix(name, s.prefix()+"/"); ok {
			value, secret := values[name], strings.Contains(short, "secret")
			if secret {
				value = ""
			}
			parameters = append(parameters, map[string]any{"name": short, "value": value, "secret": secret})
		}
	}
	for _, name := range s.settings() {
		description := member(s.template.Section("Parameters"), name, "Description")
		settings = append(settings, map[string]any{"name": name, "value": s.parameter(name), "description": description})
	}
	answerJSON(w, http.StatusOK, map[string]any{
		"standIns": standIns, "parameters": parameters, "settings": settings, "functions": slices.Sorted(maps.Keys(s.functions)),
	})
}

// parameter returns the present value of a template parameter.
func (s *server) parameter(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stack.Parameter(name)
}

func (s *server) prefix() string { return s.parameter("ParameterPrefix") }

// settings returns the names of the template parameters that functions get, apart
// from those that say where the stand-ins are.
func (s *server) settings() []string {
	used := []any{member(s.template.Section("Globals"), "Function", "Environment")}
	for _, resource := range s.template.Section("Resources") {
		used = append(used, member(resource, "Properties", "Environment"))
	}
	environments, _ := json.Marshal(used) // what was YAML always encodes
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.template.Section("Parameters"))), func(name string) bool {
		fixed := slices.Contains([]string{"ParameterPrefix", "StreamBaseUrl", "OidcIssuer", "Environment"}, name)
		return fixed || !bytes.Contains(environments, []byte(`{"Ref":"`+name+`"}`))
	})
}

// member returns the value at a path of keys, or nil.
func member(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// change answers with the sentence that f returns, or a 400 with its error. f gets the
// body, of at most 8192 bytes.
func change(f func(r *http.Request, body string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<10))
		text := ""
		if err == nil {
			text, err = f(r, string(body))
		}
		status := http.StatusOK
		if err != nil {
			status, text = http.StatusBadRequest, err.Error()
		}
		answerJSON(w, status, map[string]any{"ok": err == nil, "text": text})
	}
}

// faults are what a stand-in can do instead of answering.
var faults = map[string]struct {
	fault standin.Fault
	told  string
}{
	"on":       {nil, " answers again."},
	"off":      {standin.HangUp, " hangs up on every call. Known values stay in use: see what callers get."},
	"hang":     {standin.Hang, " takes every call and never answers."},
	"error":    {standin.Refuse(http.StatusInternalServerError, "InternalServerError"), " answers 500 to every call."},
	"throttle": {standin.Refuse(http.StatusBadRequest, "ThrottlingException"), " throttles every call."},
}

// otherFaults are the same of stand-ins that do not answer as AWS does.
var otherFaults = map[string]standin.Fault{
	"Stream error":    streamapi.Refuse(http.StatusInternalServerError, -1),
	"Stream throttle": streamapi.Refuse(http.StatusTooManyRequests, 9),
	"issuer throttle": standin.Refuse(http.StatusTooManyRequests, "temporarily_unavailable"),
}

func (s *server) switchStandIn(r *http.Request, kind string) (string, error) {
	name := r.PathValue("name")
	standIn, found := s.standIns[name]
	if !found {
		return "", fmt.Errorf("%q is no stand-in of this server; choose one of %q", name, slices.Sorted(maps.Keys(s.standIns)))
	}
	f, found := faults[kind]
	if !found {
		return "", fmt.Errorf("%q is no fault; send as the body one of %q", kind, slices.Sorted(maps.Keys(faults)))
	}
	if other, found := otherFaults[name+" "+kind]; found {
		f.fault = other
	}
	standIn.Set(f.fault)
	return name + f.told, nil
}

// changeValue calls f with the full name of a parameter, if the values are the
// server's own, and says when the change takes effect.
func (s *server) changeValue(done, name string, f func(name string)) (string, error) {
	if s.memory == nil {
		return "", fmt.Errorf("these values come from %s: change them there", s.source())
	}
	f(s.prefix() + "/" + name)
	return done + " In use within " + s.parameter("ParameterTtl") + " s, without a restart.", nil
}

func (s *server) writeParameter(r *http.Request, value string) (string, error) {
	if value == "" {
		return "", errors.New("the value is empty; Parameter Store takes 1 to 8192 bytes")
	}
	name := r.PathValue("name")
	if kind, ok := strings.CutPrefix(name, "client-config/"); ok {
		var object map[string]any
		if err := json.Unmarshal([]byte(value), &object); err != nil {
			return "", fmt.Errorf("the configuration for %s is not a JSON object (%w); nothing was written", kind, err)
		}
	}
	return s.changeValue("Written.", name, func(name string) { s.memory.Set(name, value) })
}

func (s *server) deleteParameter(r *http.Request, _ string) (string, error) {
	return s.changeValue("Deleted.", r.PathValue("name"), func(name string) { s.memory.Delete(name) })
}

// rotate makes a new API secret. The old one still verifies webhooks.
func (s *server) rotate(*http.Request, string) (string, error) {
	return s.changeValue("There is a new secret. Webhooks signed with the old one still pass.", "stream/api-secret", func(secret string) {
		values, _ := s.memory.Values()
		s.memory.Set(secret+"-previous", values[secret])
		s.memory.Set(secret, rand.Text())
	})
}

// set changes a template parameter and starts the functions anew that it concerns.
func (s *server) set(r *http.Request, value string) (string, error) {
	name := r.PathValue("name")
	if !slices.Contains(s.settings(), name) {
		return "", fmt.Errorf("%q cannot be set here; choose one of %q", name, s.settings())
	}
	s.mu.Lock()
	changed := maps.Clone(s.chosen)
	s.mu.Unlock()
	changed[name] = value
	if err := s.redeploy(r.Context(), changed, false); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is %q now.", name, value), nil
}

// redeploy gives the stack other parameters, unless they are nil, and starts the functions
// that this concerns, or all. If it fails, the stack stays as it was.
func (s *server) redeploy(ctx context.Context, parameters map[string]string, all bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.chosen
	if parameters != nil {
		s.chosen = parameters
	}
	err := s.deploy(ctx)
	if err == nil {
		err = s.startFunctions(ctx, all)
	}
	if err != nil {
		s.chosen = before
		return errors.Join(err, s.deploy(ctx))
	}
	return nil
}

// source says where the values come from.
func (s *server) source() string { return cmp.Or(s.valuesFile, s.ssmURL) }

// watch has the functions read a parameter file again as soon as it changes.
func (s *server) watch(ctx context.Context, file string) {
	changed := func() (at time.Time) {
		if info, err := os.Stat(file); err == nil {
			at = info.ModTime()
		}
		return at
	}
	tick := time.Tick(200 * time.Millisecond)
	for before := changed(); ; {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		now := changed()
		if now.Equal(before) {
			continue
		}
		before = now
		err := s.warn()
		if err == nil {
			err = s.redeploy(ctx, nil, true)
		}
		if err != nil {
			s.log.Printf("local: -parameters: %v; the values from before stay in use", err)
		} else {
			s.log.Printf("local: -parameters: %s is in use as it is now", file)
		}
	}
}

// warn logs which credentials are missing, which client configurations cannot be used,
// and where they are wrong. It returns an error if the values cannot be read.
func (s *server) warn() error {
	values, err := s.values()
	for _, name := range []string{"/stream/api-key", "/stream/api-secret"} {
		if err != nil || values[s.prefix()+name] != "" {
			continue
		}
		hint := "write it there"
		for other := range values {
			if prefix, found := strings.CutSuffix(other, name); found && prefix != "" {
				hint = fmt.Sprintf("rename %s, or start with -parameter-overrides ParameterPrefix=%s", other, prefix)
			}
		}
		s.log.Printf("local: %s has no %s%s, so calls are answered with 503; %s", s.source(), s.prefix(), name, hint)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !strings.HasPrefix(name, s.prefix()+"/client-config/") {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(values[name]), &object); err != nil {
			s.log.Printf("local: %s is not a JSON object, so /config answers 500 for this client type: %v%s", name, err, parameterstore.Place([]byte(values[name]), err))
		}
	}
	return err
}
