// Package parameterstore stands in for SSM Parameter Store.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
package parameterstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"chat-service-backend/internal/standin"
)

// Values returns the current parameters, name to value.
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
			// The cause could quote a value, so it only says where.
			return nil, fmt.Errorf("%s%s is not a JSON object whose values are texts; write {\"/chat-service/stream/api-key\": \"...\"}", name, Place(text, err))
		}
		for parameter := range m {
			if !strings.HasPrefix(parameter, "/") {
				return nil, fmt.Errorf("%s: unknown parameter %s; did you mean /chat-service/%s?", name, parameter, strings.TrimPrefix(parameter, "chat-service/"))
			}
		}
		return m, nil
	}
}

// Place says where JSON is wrong, such as ":3:14" for its third line.
func Place(text []byte, err error) string {
	offset := int64(0)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	if offset == 0 {
		return ""
	}
	before := text[:min(int(offset), len(text))]
	return fmt.Sprintf(":%d:%d", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')-1)
}

// Memory keeps values that many goroutines may read and write at once.
type Memory struct {
	mu  sync.Mutex
	all map[string]parameter
}

// NewMemory returns a Memory that holds values.
func NewMemory(values map[string]string) *Memory {
	m := &Memory{}
	m.Replace(values)
	return m
}

// Values is a [Values].
func (m *Memory) Values() (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := make(map[string]string, len(m.all))
	for name, p := range m.all {
		values[name] = p.Value
	}
	return values, nil
}

// Set gives a value to the parameter with a full name.
func (m *Memory) Set(name, value string) { m.Put(name, usualType(name), value) }

// Put is [Memory.Set] for a parameter of a type, String or SecureString. It returns the
// parameter's version.
func (m *Memory) Put(name, kind, value string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[name] = parameter{name, kind, value, m.all[name].Version + 1}
	return m.all[name].Version
}

// Type returns a parameter's type.
func (m *Memory) Type(name string) string { return m.get(name).Type }

func (m *Memory) get(name string) parameter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[name]
}

// Replace gives m other parameters.
func (m *Memory) Replace(values map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = map[string]parameter{}
	for name, value := range values {
		m.all[name] = parameter{name, usualType(name), value, 1}
	}
}

// Delete removes a parameter.
func (m *Memory) Delete(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, name)
}

// A Store answers GetParameters and GetParametersByPath, and with a Memory also
// PutParameter and DeleteParameter.
type Store struct {
	Values      Values
	Memory      *Memory                          // may be nil
	Credentials *standin.Credentials             // that calls must be signed with; nil: any
	Asked       func(names ...string)            // gets the names, or the path, of each call that reads; may be nil
	Log         func(format string, args ...any) // may be nil
	Fault       standin.Switch
}

type request struct {
	Name, Type, Path, Value, NextToken string
	Names                              []string
	Recursive, WithDecryption          bool
}

type parameter struct {
	Name, Type, Value string
	Version           int64
}

// pageSize is how many parameters one call reads at most.
const pageSize = 10

func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	standin.Serve(w, r, &s.Fault, s.Credentials, "ssm", func(body []byte) (any, error) {
		var q request
		if json.Unmarshal(body, &q) != nil {
			return nil, standin.Refused("SerializationException")
		}
		all, err := s.Values()
		if err != nil && s.Log != nil {
			s.Log("ssm: %v", err)
		}
		if err != nil {
			return nil, err
		}
		switch target := r.Header.Get("X-Amz-Target"); {
		case target == "AmazonSSM.GetParameters":
			s.asked(q.Names...)
			return s.byName(q, all)
		case target == "AmazonSSM.GetParametersByPath":
			s.asked(q.Path)
			return s.byPath(q, all)
		case target == "AmazonSSM.PutParameter" && s.Memory != nil:
			return map[string]int64{"Version": s.Memory.Put(q.Name, q.Type, q.Value)}, nil
		case target == "AmazonSSM.DeleteParameter" && s.Memory != nil:
			s.Memory.Delete(q.Name)
			return struct{}{}, nil
		}
		return nil, standin.Refused("UnknownOperationException")
	})
}

func (s *Store) asked(names ...string) {
	if s.Asked != nil {
		s.Asked(names...)
	}
}

func (s *Store) byName(q request, all map[string]string) (any, error) {
	if len(q.Names) < 1 || len(q.Names) > pageSize {
		return nil, standin.Refused("ValidationException")
	}
	found, missing := []parameter{}, []string{}
	for _, name := range q.Names {
		if value, ok := all[name]; ok {
			found = append(found, s.parameter(q, name, value))
		} else {
			missing = append(missing, name)
		}
	}
	return map[string]any{"Parameters": found, "InvalidParameters": missing}, nil
}

func (s *Store) byPath(q request, all map[string]string) (any, error) {
	page := []parameter{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rest, below := strings.CutPrefix(name, strings.TrimSuffix(q.Path, "/")+"/")
		if below && (q.Recursive || !strings.Contains(rest, "/")) {
			page = append(page, s.parameter(q, name, all[name]))
		}
	}
	first, err := strconv.Atoi("0" + q.NextToken)
	switch {
	case !strings.HasPrefix(q.Path, "/"):
		return nil, standin.Refused("ValidationException")
	case err != nil || first > len(page):
		return nil, standin.Refused("InvalidNextToken")
	}
	answer := map[string]any{}
	if page = page[first:]; len(page) > pageSize {
		page, answer["NextToken"] = page[:pageSize], strconv.Itoa(first+pageSize)
	}
	answer["Parameters"] = page
	return answer, nil
}

// parameter returns a value as the caller gets it: without WithDecryption, a
// SecureString stays encrypted.
func (s *Store) parameter(q request, name, value string) parameter {
	p := parameter{Type: usualType(name), Version: 1}
	if s.Memory != nil {
		p = s.Memory.get(name)
	}
	p.Name, p.Value = name, value
	if p.Type == "SecureString" && !q.WithDecryption {
		p.Value = "AQICAHhlbmNyeXB0ZWQ="
	}
	return p
}

// usualType returns the type that a name suggests.
func usualType(name string) string {
	if strings.HasSuffix(name, "/api-secret") || strings.HasSuffix(name, "/api-secret-previous") {
		return "SecureString"
	}
	return "String"
}
