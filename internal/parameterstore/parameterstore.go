// Package parameterstore stands in for SSM Parameter Store.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
package parameterstore

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"chat-service-backend/internal/standin"
)

// Values returns the parameters as they are now, name to value.
type Values func() (map[string]string, error)

// File reads the values from a JSON object in a file, on every call: editing the
// file is a rotation.
func File(name string) Values {
	return func() (map[string]string, error) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var m map[string]string
		if err := json.Unmarshal(text, &m); err != nil || m == nil {
			// The cause could quote a value.
			return nil, fmt.Errorf("%s: want a JSON object whose values are text", name)
		}
		return m, nil
	}
}

// Memory keeps values that can be written, by many goroutines at once.
type Memory struct {
	mu     sync.Mutex
	values map[string]string
}

// NewMemory returns a Memory that holds values.
func NewMemory(values map[string]string) *Memory { return &Memory{values: maps.Clone(values)} }

// Values is a [Values].
func (m *Memory) Values() (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values), nil
}

// Set gives the parameter of a full name a value.
func (m *Memory) Set(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = value
}

// Delete removes a parameter.
func (m *Memory) Delete(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, name)
}

// A Store answers GetParameter, GetParameters and GetParametersByPath, and where
// it has a Memory, PutParameter and DeleteParameter.
type Store struct {
	Values      Values
	Memory      *Memory                          // may be nil
	Credentials *standin.Credentials             // with which calls must be signed; nil: any
	Asked       func(names ...string)            // gets the names, or the path, of each call that reads; may be nil
	Log         func(format string, args ...any) // may be nil
	Fault       standin.Switch
}

type request struct {
	Name, Path, Value, NextToken string
	Names                        []string
	Recursive, WithDecryption    bool
	MaxResults                   *int
}

type parameter struct {
	Name, Type, Value string
	Version           int
}

func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Fault.Serve(w, r, s.serve) }

func (s *Store) serve(w http.ResponseWriter, r *http.Request) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.")
	if !ok || r.Method != http.MethodPost {
		refuse(w, "UnknownOperationException", "want a POST with X-Amz-Target: AmazonSSM.<operation>")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var q request
	if err != nil || json.Unmarshal(body, &q) != nil {
		refuse(w, "SerializationException", "want a JSON object")
		return
	}
	if s.Credentials != nil && !s.Credentials.Signed(r, body, "ssm") {
		refuse(w, "InvalidSignatureException", "want the call signed with the credentials of this run")
		return
	}
	all, err := s.Values()
	if err != nil {
		if s.Log != nil {
			s.Log("ssm: %v", err)
		}
		standin.Error(w, http.StatusInternalServerError, "InternalServerError", "the parameters cannot be read")
		return
	}
	switch {
	case operation == "GetParameter":
		s.asked(q.Name)
		if _, ok := all[q.Name]; !ok {
			refuse(w, "ParameterNotFound", "")
			return
		}
		standin.Answer(w, map[string]any{"Parameter": q.parameter(q.Name, all)})
	case operation == "GetParameters" && (len(q.Names) < 1 || len(q.Names) > 10):
		refuse(w, "ValidationException", "want 1 to 10 names")
	case operation == "GetParameters":
		s.asked(q.Names...)
		found, missing := []parameter{}, []string{}
		for _, name := range q.Names {
			if _, ok := all[name]; ok {
				found = append(found, q.parameter(name, all))
			} else {
				missing = append(missing, name)
			}
		}
		standin.Answer(w, map[string]any{"Parameters": found, "InvalidParameters": missing})
	case operation == "GetParametersByPath":
		s.asked(q.Path)
		byPath(w, q, all)
	case operation == "PutParameter" && s.Memory != nil:
		s.Memory.Set(q.Name, q.Value)
		standin.Answer(w, map[string]any{"Version": 1})
	case operation == "DeleteParameter" && s.Memory != nil:
		s.Memory.Delete(q.Name)
		standin.Answer(w, struct{}{})
	default:
		refuse(w, "UnknownOperationException", "the stand-in has no "+operation)
	}
}

func (s *Store) asked(names ...string) {
	if s.Asked != nil {
		s.Asked(names...)
	}
}

func byPath(w http.ResponseWriter, q request, all map[string]string) {
	size := 10
	if q.MaxResults != nil {
		size = *q.MaxResults
	}
	if !strings.HasPrefix(q.Path, "/") || size < 1 || size > 10 {
		refuse(w, "ValidationException", "want a Path that begins with / and MaxResults from 1 to 10")
		return
	}
	below := strings.TrimSuffix(q.Path, "/") + "/"
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		rest, ok := strings.CutPrefix(name, below)
		return !ok || !q.Recursive && strings.Contains(rest, "/")
	})
	first, err := strconv.Atoi("0" + q.NextToken)
	if err != nil || first > len(names) {
		refuse(w, "InvalidNextToken", "The specified token is not valid.")
		return
	}
	page := []parameter{}
	end := min(first+size, len(names))
	for _, name := range names[first:end] {
		page = append(page, q.parameter(name, all))
	}
	answer := map[string]any{"Parameters": page}
	if end < len(names) {
		answer["NextToken"] = strconv.Itoa(end)
	}
	standin.Answer(w, answer)
}

// parameter returns a value as the caller gets it: a SecureString stays encrypted
// without WithDecryption.
func (q *request) parameter(name string, all map[string]string) parameter {
	p := parameter{Name: name, Type: "String", Value: all[name], Version: 1}
	if strings.HasSuffix(name, "/api-secret") || strings.HasSuffix(name, "/api-secret-previous") {
		p.Type = "SecureString"
		if !q.WithDecryption {
			p.Value = "AQICAHhlbmNyeXB0ZWQ="
		}
	}
	return p
}

func refuse(w http.ResponseWriter, code, message string) {
	standin.Error(w, http.StatusBadRequest, code, message)
}
