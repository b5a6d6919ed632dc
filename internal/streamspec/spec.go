// Package streamspec knows the part of Stream's published API that this project uses:
// its calls, and the fields of their requests and answers.
package streamspec

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// published.json is made from Stream's OpenAPI (see table_test.go). ours.json has what
// we rely on and the description lacks, each with a reason.
var (
	//go:embed published.json
	published []byte
	//go:embed ours.json
	ours []byte
)

// A Call is one method on one path.
type Call struct {
	Status int    // of success
	Query  Object // parameters; objects are JSON
	Body   string // the request's object; "" for none
	Answer string // the answer's object; "" for any
}

// An Object has fields by name. The field "*" stands for all that have no row.
type Object map[string]Field

// A Field is what an object takes or has under a name.
type Field struct {
	Type     string // string, integer, number, boolean, time, duration, any, an object's name, [Type] or {Type}
	Required bool
	Nullable bool
	Enum     []string
	Min, Max *float64 // of a number; of the length of a text, a list or a {Type}
}

// Calls are by method and path, such as "GET /roles/{name}".
var Calls, Objects = load(published, ours)

func load(tables ...[]byte) (map[string]Call, map[string]Object) {
	calls, objects := map[string]Call{}, map[string]Object{}
	for _, text := range tables {
		var table struct {
			Calls   map[string]Call
			Objects map[string]Object
		}
		if err := json.Unmarshal(text, &table); err != nil {
			panic(err)
		}
		for name, call := range table.Calls {
			calls[name] = call
		}
		for name, object := range table.Objects {
			for field, f := range object {
				if objects[name] == nil {
					objects[name] = Object{}
				}
				objects[name][field] = f
			}
		}
	}
	return calls, objects
}

// UnmarshalText reads a row: the type, then ! if the field is required and ? if it may
// be null, a range such as 1..100, and values such as no|app|team. A reason may follow #.
func (f *Field) UnmarshalText(text []byte) error {
	spec, _, _ := strings.Cut(string(text), " # ")
	words := strings.Fields(spec)
	f.Type = strings.TrimRight(words[0], "!?")
	f.Required, f.Nullable = strings.Contains(words[0], "!"), strings.Contains(words[0], "?")
	for _, word := range words[1:] {
		low, high, isRange := strings.Cut(word, "..")
		if !isRange {
			f.Enum = strings.Split(word, "|")
			continue
		}
		for text, limit := range map[string]**float64{low: &f.Min, high: &f.Max} {
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				*limit = &n
			}
		}
	}
	return nil
}

// Shape returns an object as Stream answers it: without the fields that it does not
// have, and with a zero value for those that it always has.
func Shape(object string, v any) any { return Field{Type: object}.shape(v) }

func (f Field) shape(v any) any {
	switch list, _ := v.([]any); {
	case v == nil || f.Type == "any" || f.Type == "{any}":
		return v
	case f.Type[0] == '[':
		shaped := make([]any, len(list))
		for i, v := range list {
			shaped[i] = Field{Type: f.Type[1 : len(f.Type)-1]}.shape(v)
		}
		return shaped
	}
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	shaped := map[string]any{}
	for name, v := range object {
		f, known := Field{Type: strings.Trim(f.Type, "{}")}, f.Type[0] == '{'
		if !known {
			f, known = Objects[f.Type].Field(name)
		}
		if known {
			shaped[name] = f.shape(v)
		}
	}
	for name, f := range Objects[f.Type] {
		if _, has := shaped[name]; f.Required && !has {
			shaped[name] = f.zero()
		}
	}
	return shaped
}

func (f Field) zero() any {
	switch f.Type[0] {
	case '[':
		return []any{}
	case '{':
		return map[string]any{}
	}
	switch f.Type {
	case "string", "duration":
		return ""
	case "time":
		return time.Time{}.Format(time.RFC3339)
	case "boolean":
		return false
	case "integer", "number":
		return 0
	}
	return Shape(f.Type, map[string]any{})
}

// Field returns the row of a field, or that for all others.
func (o Object) Field(name string) (Field, bool) {
	f, ok := o[name]
	if !ok {
		f, ok = o["*"]
	}
	return f, ok
}

// Check returns what is wrong with an object as a request, such as "name is required",
// or nil. Decode it with json.Number.
func Check(object string, v any) error { return Field{Type: object}.Check("", v) }

// duration is how Go writes one.
var duration = regexp.MustCompile(`^-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$|^0$`)

// Check returns what is wrong with a value at a place of the request.
func (f Field) Check(place string, v any) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s "+format, append([]any{cmp.Or(place, "the body")}, args...)...)
	}
	in := func(n float64, of string) error {
		if f.Min != nil && n < *f.Min {
			return wrong("must have %sat least %v", of, *f.Min)
		}
		if f.Max != nil && n > *f.Max {
			return wrong("must have %sat most %v", of, *f.Max)
		}
		return nil
	}
	if v == nil { // Stream's decoder takes null for no value
		return nil
	}
	kind, item := f.Type, Field{}
	if kind[0] == '[' || kind[0] == '{' {
		kind, item.Type = kind[:1], kind[1:len(kind)-1]
	}
	switch kind {
	case "any":
		return nil
	case "string", "time", "duration":
		s, ok := v.(string)
		if !ok {
			return wrong("must be a string")
		}
		if _, err := time.Parse(time.RFC3339, s); kind == "time" && err != nil {
			return wrong("must be a time")
		}
		if kind == "duration" && !duration.MatchString(s) {
			return wrong("must be a duration")
		}
		if len(f.Enum) > 0 && !slices.Contains(f.Enum, s) {
			return wrong("must be one of [%s]", strings.Join(f.Enum, " "))
		}
		return in(float64(utf8.RuneCountInString(s)), "a length of ")
	case "integer", "number":
		n, ok := v.(json.Number)
		x, err := n.Float64()
		if !ok || err != nil || kind == "integer" && x != float64(int64(x)) {
			return wrong("must be of type %s", kind)
		}
		return in(x, "")
	case "boolean":
		if _, ok := v.(bool); !ok {
			return wrong("must be a boolean")
		}
		return nil
	case "[":
		list, ok := v.([]any)
		if !ok {
			return wrong("must be a list")
		}
		for i, v := range list {
			if err := item.Check(fmt.Sprintf("%s[%d]", place, i), v); err != nil {
				return err
			}
		}
		return in(float64(len(list)), "a length of ")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return wrong("must be an object")
	}
	for name, v := range object {
		f, known := item, kind == "{"
		if !known {
			f, known = Objects[kind].Field(name)
		}
		if name = strings.TrimPrefix(place+"."+name, "."); !known {
			return fmt.Errorf("%s is not a known field", name)
		} else if err := f.Check(name, v); err != nil {
			return err
		}
	}
	if err := in(float64(len(object)), "a length of "); kind == "{" && err != nil {
		return err
	}
	for name, f := range Objects[kind] {
		if f.Required && object[name] == nil && name != "*" {
			return fmt.Errorf("%s is a required field", strings.TrimPrefix(place+"."+name, "."))
		}
	}
	return nil
}
