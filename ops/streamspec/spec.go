// Package streamspec knows the part of Stream's published API that this project uses:
// its calls, and the fields of their requests and answers.
package streamspec

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// published.json is made from Stream's OpenAPI (see ../streamfile/table_test.go). ours.json has what
// we rely on and the description lacks, each with a reason.
var (
	//go:embed published.json
	published []byte
	//go:embed ours.json
	ours []byte
	//go:embed events.txt
	publishedEvents string
)

// Events are the types that Stream's webhooks send, of all products.
var Events = strings.Fields(publishedEvents)

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

// tables are read when first needed: most of ops' commands need none.
var tables = sync.OnceValues(func() (map[string]Call, map[string]Object) { return load(published, ours) })

// Calls returns those that we use, by method and path, such as "GET /roles/{name}".
func Calls() map[string]Call { calls, _ := tables(); return calls }

// Objects returns those of the calls, by name.
func Objects() map[string]Object { _, objects := tables(); return objects }

// A member is a field with its name, with that as JSON, and with its zero.
type member struct {
	name, key, zero string
	Field
}

// members returns those of each object in order.
var members = sync.OnceValue(func() map[string][]member {
	all := map[string][]member{}
	for object, fields := range Objects() {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if name != "*" {
				all[object] = append(all[object], member{name, `"` + name + `":`, fields[name].zero(), fields[name]})
			}
		}
	}
	return all
})

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

// Append appends a value of a [Field]'s type as Stream answers it: as JSON, objects without
// the fields that they do not have, and with a zero value for those that they always have.
func Append(b []byte, kind string, v any) []byte {
	item := "any"
	if kind[0] == '[' || kind[0] == '{' {
		kind, item = kind[:1], kind[1:len(kind)-1]
	}
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		rows, others := Objects()[kind], len(v)
		all := members()[kind]
		for i := range all {
			m := &all[i]
			value, has := v[m.name]
			if has {
				others--
			}
			switch {
			case has && (value != nil || m.Nullable):
				b = append(Append(append(b, m.key...), m.Type, value), ',')
			case m.Required && m.zero == "":
				b = append(Append(append(b, m.key...), m.Type, map[string]any{}), ',')
			case m.Required:
				b = append(append(append(b, m.key...), m.zero...), ',')
			}
		}
		star, open := rows["*"]
		if open {
			item = star.Type
		}
		if others > 0 && (open || rows == nil) {
			names := make([]string, 0, others)
			for name := range v {
				if _, row := rows[name]; !row {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			for _, name := range names {
				b = append(Append(append(appendText(b, name), ':'), item, v[name]), ',')
			}
		}
		b = bytes.TrimSuffix(b, []byte(","))
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, v := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, item, v)
		}
		return append(b, ']')
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return Append(b, "["+item+"]", list)
	case string:
		switch kind {
		case "time": // in UTC with microseconds, as most are
			if len(v) > len("2006-01-02T15:04:05.999999Z") || !strings.HasSuffix(v, "Z") {
				if t, err := time.Parse(time.RFC3339, v); err == nil {
					v = t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
				}
			}
		case "duration":
			if d, err := time.ParseDuration(v); err == nil {
				v = d.String()
			}
		}
		return appendText(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, v...)
	}
	text, _ := json.Marshal(v)
	return append(b, text...)
}

// appendText appends a text as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(s)
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// zero is the value, as JSON, of a field that Stream always answers; "" for that of an object.
func (f Field) zero() string {
	switch f.Type[0] {
	case '[':
		return "[]"
	case '{':
		return "{}"
	}
	return map[string]string{
		"string": `""`, "duration": `""`, "time": `"0001-01-01T00:00:00Z"`, "boolean": "false", "integer": "0", "number": "0",
	}[f.Type]
}

// Field returns the row of a field, or that for all others.
func (o Object) Field(name string) (Field, bool) {
	f, ok := o[name]
	if !ok {
		f, ok = o["*"]
	}
	return f, ok
}

// A Problem is one thing that is wrong with a request.
type Problem struct {
	Place, What string
	Kind        Kind
}

// Kind is what sort of problem one is.
type Kind int

const (
	Wrong   Kind = iota // a value of another type
	Missing             // a required field
	Unknown             // a field that the description lacks
	Beyond              // a value outside the description's values or limits
)

func (p Problem) Error() string { return strings.TrimPrefix(p.Place+" ", " ") + p.What }

// Check returns what is wrong with an object as a request, or nil. Decode the object
// with json.Number.
func Check(object string, v any) error {
	if problems := Problems(object, v); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// Problems returns all that is wrong with an object as a request.
func Problems(object string, v any) []Problem { return Field{Type: object}.Problems("", v) }

// duration is how Go writes one.
var duration = regexp.MustCompile(`^-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$|^0$`)

// Problems returns what is wrong with a value at a place of the request.
func (f Field) Problems(place string, v any) []Problem {
	found := f.problems(v)
	for i := range found {
		found[i].Place = cmp.Or(join(place, found[i].Place), "the body")
	}
	return found
}

// Part returns what of a value the description allows: objects without the fields that it
// lacks or does not allow, lists without such items. It returns nil if that is nothing.
func (f Field) Part(v any) any {
	item := Field{Type: strings.Trim(f.Type, "[]{}")}
	switch all := v.(type) {
	case map[string]any:
		part := map[string]any{}
		for name, v := range all {
			row, known := item, f.Type[0] == '{'
			if !known {
				row, known = Objects()[f.Type].Field(name)
			}
			if !known {
				continue
			}
			if p := row.Part(v); p != nil {
				part[name] = p
			}
		}
		if v = part; len(part) == 0 && len(all) > 0 {
			return nil
		}
	case []any:
		part := []any{}
		for _, v := range all {
			if p := item.Part(v); p != nil {
				part = append(part, p)
			}
		}
		if v = part; len(part) == 0 && len(all) > 0 {
			return nil
		}
	}
	if len(f.problems(v)) > 0 {
		return nil
	}
	return v
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}

// join returns the place of an inner value.
func join(outer, inner string) string {
	if outer == "" || inner == "" || inner[0] == '[' {
		return outer + inner
	}
	return outer + "." + inner
}

func (f Field) problems(v any) (found []Problem) {
	wrong := func(kind Kind, format string, args ...any) {
		found = append(found, Problem{"", fmt.Sprintf(format, args...), kind})
	}
	within := func(n float64, of string) {
		if f.Min != nil && n < *f.Min {
			wrong(Beyond, "must have %sat least %v", of, *f.Min)
		}
		if f.Max != nil && n > *f.Max {
			wrong(Beyond, "must have %sat most %v", of, *f.Max)
		}
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
	case "string", "time", "duration":
		s, ok := v.(string)
		switch {
		case !ok:
			wrong(Wrong, "must be a string")
		case kind == "time" && !isTime(s):
			wrong(Beyond, "must be a time")
		case kind == "duration" && !duration.MatchString(s):
			wrong(Beyond, "must be a duration")
		case len(f.Enum) > 0 && !slices.Contains(f.Enum, s):
			wrong(Beyond, "must be one of [%s]", strings.Join(f.Enum, " "))
		default:
			within(float64(utf8.RuneCountInString(s)), "a length of ")
		}
	case "integer", "number":
		n, ok := v.(json.Number)
		if x, err := n.Float64(); !ok || err != nil || kind == "integer" && x != math.Trunc(x) {
			wrong(Wrong, "must be of type %s", kind)
		} else if kind == "integer" && x != float64(int32(x)) {
			wrong(Beyond, "must have at most 32 bits")
		} else {
			within(x, "")
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			wrong(Wrong, "must be a boolean")
		}
	case "[":
		list, ok := v.([]any)
		if !ok {
			wrong(Wrong, "must be a list")
			return found
		}
		within(float64(len(list)), "a length of ")
		for i, v := range list {
			for _, p := range item.problems(v) {
				p.Place = join(fmt.Sprintf("[%d]", i), p.Place)
				found = append(found, p)
			}
		}
	default:
		object, ok := v.(map[string]any)
		if !ok {
			wrong(Wrong, "must be an object")
			return found
		}
		if kind == "{" {
			within(float64(len(object)), "a length of ")
		}
		rows := Objects()[kind]
		for name, v := range object {
			f, known := item, kind == "{"
			if !known {
				f, known = rows.Field(name)
			}
			if !known {
				found = append(found, Problem{name, "is not a known field", Unknown})
				continue
			}
			for _, p := range f.problems(v) {
				p.Place = join(name, p.Place)
				found = append(found, p)
			}
		}
		for _, m := range members()[kind] {
			if m.Required && object[m.name] == nil {
				found = append(found, Problem{m.name, "is a required field", Missing})
			}
		}
		slices.SortStableFunc(found, func(a, b Problem) int { return strings.Compare(a.Place, b.Place) })
	}
	return found
}
