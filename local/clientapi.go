package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"chat-service-backend/internal/apigateway"
	"chat-service-backend/internal/cfn"
	"chat-service-backend/internal/runtimeapi"
)

// clientRefusals are an HTTP API's own answers.
var clientRefusals = map[error]refusal{
	errBadRequest:       {http.StatusBadRequest, "Bad Request", ""},
	errNoRoute:          {http.StatusNotFound, "Not Found", ""},
	errTooLarge:         {http.StatusRequestEntityTooLarge, "Request Entity Too Large", ""},
	errIntegrationLimit: {http.StatusServiceUnavailable, "Service Unavailable", ""},
	errFunction:         {http.StatusBadGateway, "Internal server error", ""},
}

// writeHTTP turns an answer of payload 2.0 into the gateway's. Nothing is written
// when it returns an error.
func (g *gateway) writeHTTP(w http.ResponseWriter, a *runtimeapi.Answer) error {
	body, err := readAnswer(a)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields); fields["statusCode"] == nil {
		// Without a statusCode the answer is the body.
		if !json.Valid(body) {
			return errors.New("the answer is not JSON")
		}
		var text string
		if json.Unmarshal(body, &text) == nil {
			body = []byte(text)
		}
		writeBody(w, http.StatusOK, body, "application/json")
		return nil
	}
	got, err := apigateway.ParseAnswer(body)
	if err != nil {
		return err
	}
	got.MultiValueHeaders = nil // payload 2.0 has none
	if g.api.CORS != nil {
		// The configuration of the API counts, what the function says does not.
		for name := range got.Headers {
			if strings.HasPrefix(strings.ToLower(name), "access-control-") {
				delete(got.Headers, name)
			}
		}
	}
	got.SetHeaders(w.Header())
	writeBody(w, got.Status, got.Content, "text/plain; charset=utf-8")
	return nil
}

// cors puts on the headers that the API's CORS asks for, and reports whether
// that was the answer: a preflight, for which there is no route.
func (g *gateway) cors(w http.ResponseWriter, r *http.Request, rt *route) (answered bool) {
	c := g.api.CORS
	if c == nil {
		return false
	}
	preflight := r.Method == http.MethodOptions && (rt == nil || rt.Method == "ANY")
	if origin := allowedOrigin(c, r); origin != "" && (!preflight || allowed(c, r)) {
		headers := [][2]string{
			{"Access-Control-Allow-Origin", origin},
			{"Access-Control-Expose-Headers", strings.Join(c.ExposeHeaders, ",")},
		}
		if origin != "*" {
			w.Header().Add("Vary", "Origin")
		}
		if c.AllowCredentials {
			headers = append(headers, [2]string{"Access-Control-Allow-Credentials", "true"})
		}
		if preflight {
			headers = append(headers,
				[2]string{"Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ",")},
				[2]string{"Access-Control-Allow-Headers", strings.Join(c.AllowHeaders, ",")},
				[2]string{"Access-Control-Max-Age", c.MaxAge})
		}
		for _, h := range headers {
			if h[1] != "" {
				w.Header().Set(h[0], h[1])
			}
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}

// allowedOrigin is what Access-Control-Allow-Origin says to the request, or "".
func allowedOrigin(c *cfn.CORS, r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	for _, allowed := range c.AllowOrigins {
		scheme, ok := strings.CutSuffix(allowed, "://*")
		switch {
		case allowed == "*" && !c.AllowCredentials:
			return "*"
		case allowed == "*", allowed == origin, ok && strings.HasPrefix(origin, scheme+"://"):
			return origin
		}
	}
	return ""
}

// allowed reports whether the method and the headers that a preflight asks for
// are allowed. If not, it gets no CORS headers at all, so that the browser stops.
func allowed(c *cfn.CORS, r *http.Request) bool {
	method := r.Header.Get("Access-Control-Request-Method")
	if !slices.Contains(c.AllowMethods, method) && (method == "" || !slices.Contains(c.AllowMethods, "*")) {
		return false
	}
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.ContainsFunc(c.AllowHeaders, func(a string) bool { return a == "*" || strings.EqualFold(a, name) }) {
			return false
		}
	}
	return true
}
