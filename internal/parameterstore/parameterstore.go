// Package parameterstore stands in for SSM Parameter Store.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
package parameterstore

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
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
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := int64(0)
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	} else if errors.As(err, &kind) {
		offset = kind.Offset
	}
	if offset == 0 {
		return ""
	}
	before := text[:min(int(offset), len(text))]
	return fmt.Sprintf(":%d:%d", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')-1)
}

// Memory keeps values that many goroutines may read and write at once.
type Memory struct {
	mu            sync.Mutex
	values, types map[string]string
	versions      map[string]int64 // one more after each Put
}

// NewMemory returns a Memory that holds values.
func NewMemory(values map[string]string) *Memory {
	return &Memory{values: maps.Collect(maps.All(values)), types: map[string]string{}, versions: map[string]int64{}}
}

// Values is a [Values].
func (m *Memory) Values() (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values), nil
}

// Set gives a value to the parameter with a full name.
func (m *Memory) Set(name, value string) { m.Put(name, m.Type(name), value) }

// Put is [Memory.Set] for a parameter of a type, String or SecureString.
func (m *Memory) Put(name, kind, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.values[name]; ok {
		m.versions[name] = max(m.versions[name], 1) + 1
	} else {
		m.versions[name] = 1
	}
	m.values[name], m.types[name] = value, kind
}

func (m *Memory) version(name string) int64 {
	if m == nil {
		return 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.versions[name], 1)
}

// Type returns a parameter's type: that of the last Put, or else what its name
// suggests, as for a nil Memory.
func (m *Memory) Type(name string) (kind string) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		kind = m.types[name]
	}
	if kind == "" && (strings.HasSuffix(name, "/api-secret") || strings.HasSuffix(name, "/api-secret-previous")) {
		return "SecureString"
	}
	return cmp.Or(kind, "String")
}

// Replace gives m the values and types of other.
func (m *Memory) Replace(other *Memory) {
	values, _ := other.Values()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values, m.types = values, map[string]string{}
}

// Delete removes a parameter.
func (m *Memory) Delete(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, name)
	delete(m.versions, name)
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
	memory                             *Memory
}

type parameter struct {
	Name, Type, Value string
	Version           int64
}

// reference is a reference to another parameter, which no value may have.
var reference = regexp.MustCompile(`(?s)\{\{.*\}\}`)

// pageSize is how many parameters one call reads at most.
const pageSize = 10

func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Fault.Serve(w, r, s.serve) }

func (s *Store) serve(w http.ResponseWriter, r *http.Request) {
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
	q.memory = s.Memory
	switch target := r.Header.Get("X-Amz-Target"); {
	case target == "AmazonSSM.GetParameters":
		s.asked(q.Names...)
		byName(w, q, all)
	case target == "AmazonSSM.GetParametersByPath":
		s.asked(q.Path)
		byPath(w, q, all)
	case target == "AmazonSSM.PutParameter" && reference.MatchString(q.Value):
		refuse(w, "ValidationException", "the value must not have a reference to another parameter, {{…}}")
	case target == "AmazonSSM.PutParameter" && s.Memory != nil:
		s.Memory.Put(q.Name, q.Type, q.Value)
		standin.Answer(w, map[string]int64{"Version": s.Memory.version(q.Name)})
	case target == "AmazonSSM.DeleteParameter" && s.Memory != nil:
		s.Memory.Delete(q.Name)
		standin.Answer(w, struct{}{})
	default:
		refuse(w, "UnknownOperationException", "the stand-in does not know X-Amz-Target: "+target)
	}
}

func (s *Store) asked(names ...string) {
	if s.Asked != nil {
		s.Asked(names...)
	}
}

func byName(w http.ResponseWriter, q request, all map[string]string) {
	if len(q.Names) < 1 || len(q.Names) > pageSize {
		refuse(w, "ValidationException", "want 1 to 10 names")
		return
	}
	found, missing := []parameter{}, []string{}
	for _, name := range q.Names {
		if value, ok := all[name]; ok {
			found = append(found, q.parameter(name, value))
		} else {
			missing = append(missing, name)
		}
	}
	standin.Answer(w, map[string]any{"Parameters": found, "InvalidParameters": missing})
}

func byPath(w http.ResponseWriter, q request, all map[string]string) {
	if !strings.HasPrefix(q.Path, "/") {
		refuse(w, "ValidationException", "want a Path that begins with /")
		return
	}
	page := []parameter{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rest, below := strings.CutPrefix(name, strings.TrimSuffix(q.Path, "/")+"/")
		if below && (q.Recursive || !strings.Contains(rest, "/")) {
			page = append(page, q.parameter(name, all[name]))
		}
	}
	first, err := strconv.Atoi("0" + q.NextToken)
	if err != nil || first > len(page) {
		refuse(w, "InvalidNextToken", "The specified token is not valid.")
		return
	}
	answer := map[string]any{}
	if page = page[first:]; len(page) > pageSize {
		page, answer["NextToken"] = page[:pageSize], strconv.Itoa(first+pageSize)
	}
	answer["Parameters"] = page
	standin.Answer(w, answer)
}

// parameter returns a value as the caller gets it: without WithDecryption, a
// SecureString stays encrypted.
func (q *request) parameter(name, value string) parameter {
	p := parameter{name, q.memory.Type(name), value, q.memory.version(name)}
	if p.Type == "SecureString" && !q.WithDecryption {
		p.Value = "AQICAHhlbmNyeXB0ZWQ="
	}
	return p
}

func refuse(w http.ResponseWriter, code, message string) {
	standin.Error(w, http.StatusBadRequest, code, message)
}
