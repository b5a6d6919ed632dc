package cfn

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noValue is the value of AWS::NoValue, which removes its key or list item.
type noValue struct{}

// Eval returns v without intrinsic functions. A reference to a resource is its
// logical id, an attribute is "LogicalId.Attribute": names that are the same on
// every run. Functions that the project's template does not use stay as they are.
func (s *Stack) Eval(v any) (any, error) {
	got, err := s.eval(v)
	if got == (any)(noValue{}) {
		got = nil
	}
	return got, err
}

func (s *Stack) eval(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		items := make([]any, 0, len(v))
		for _, item := range v {
			got, err := s.eval(item)
			if err != nil {
				return nil, err
			}
			if _, gone := got.(noValue); !gone {
				items = append(items, got)
			}
		}
		return items, nil
	case map[string]any:
		if name, argument := function(v); name != "" {
			got, err := s.call(name, argument)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return got, err
		}
		m := make(map[string]any, len(v))
		for key, item := range v {
			got, err := s.eval(item)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if _, gone := got.(noValue); !gone {
				m[key] = got
			}
		}
		return m, nil
	}
	return v, nil
}

// arity is how many arguments a function takes, at least and at most.
var arity = map[string][2]int{
	"Ref": {1, 1}, "Condition": {1, 1}, "Fn::Sub": {1, 2}, "Fn::GetAtt": {1, 2}, "Fn::Split": {2, 2},
	"Fn::FindInMap": {3, 3}, "Fn::Select": {2, 2}, "Fn::Join": {2, 2},
	"Fn::If": {3, 3}, "Fn::Equals": {2, 2}, "Fn::Not": {1, 1}, "Fn::And": {2, 10}, "Fn::Or": {2, 10},
}

// function returns the intrinsic function that a map is, if it is one. A policy's
// Condition, which holds a map, is not.
func function(m map[string]any) (name string, argument any) {
	for name, argument := range m {
		_, known := arity[name]
		_, named := argument.(string)
		if known && len(m) == 1 && (named || name != "Condition") {
			return name, argument
		}
	}
	return "", nil
}

// call evaluates one function. The value of a condition is "true" or "false".
func (s *Stack) call(name string, argument any) (any, error) {
	arguments := list(argument)
	if argument, ok := argument.(string); ok {
		arguments = []any{argument}
	}
	if n := len(arguments); n < arity[name][0] || n > arity[name][1] {
		return nil, fmt.Errorf("it takes %d to %d arguments, and has %d", arity[name][0], arity[name][1], n)
	}
	first := text(arguments[0], "")
	switch name {
	case "Ref":
		return s.ref(first)
	case "Condition":
		yes, err := s.condition(first)
		return strconv.FormatBool(yes), err
	case "Fn::Sub":
		return s.sub(first, arguments[1:])
	case "Fn::GetAtt":
		return attribute(strings.Join(texts(arguments), "."))
	case "Fn::If":
		yes, err := s.condition(first)
		if err != nil {
			return nil, err
		}
		if yes {
			return s.eval(arguments[1])
		}
		return s.eval(arguments[2])
	case "Fn::Not":
		yes, err := s.truth(arguments[0])
		return strconv.FormatBool(!yes), err
	case "Fn::And", "Fn::Or":
		for _, v := range arguments {
			if yes, err := s.truth(v); err != nil || yes == (name == "Fn::Or") {
				return strconv.FormatBool(yes), err
			}
		}
		return strconv.FormatBool(name == "Fn::And"), nil
	}
	got, err := s.eval(arguments)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Fn::FindInMap":
		var found any = s.Template.Body["Mappings"]
		for _, key := range texts(got) {
			if found = object(found)[key]; found == nil {
				return nil, fmt.Errorf("the template's mappings have no %q", texts(got))
			}
		}
		return found, nil
	case "Fn::Select":
		items := list(list(got)[1])
		if i, err := strconv.Atoi(texts(got)[0]); err == nil && i >= 0 && i < len(items) {
			return items[i], nil
		}
		return nil, errors.New("its first argument is no index of the list")
	}
	if name == "Fn::Join" { // as the CDK writes a text with references
		return strings.Join(texts(list(got)[1]), text(list(got)[0], "")), nil
	}
	both := texts(got)
	if len(both) != 2 || slices.ContainsFunc(list(got), func(v any) bool { return object(v) != nil }) {
		return nil, errors.New("it takes two values")
	}
	if name == "Fn::Equals" {
		return strconv.FormatBool(both[0] == both[1]), nil
	}
	var items []any // Fn::Split
	for item := range strings.SplitSeq(both[1], both[0]) {
		items = append(items, item)
	}
	return items, nil
}

func (s *Stack) ref(id string) (any, error) {
	if id == "AWS::NoValue" {
		return noValue{}, nil
	}
	if v, ok := s.values[id]; ok {
		return v, nil
	}
	if _, ok := s.Template.Section("Resources")[id]; ok {
		return id, nil
	}
	return nil, fmt.Errorf("there is no %q", id)
}

// attribute checks "LogicalId.Attribute". SAM adds resources of its own
// ("ServiceApi.Stage"), so an unknown one is no error.
func attribute(name string) (any, error) {
	if !strings.Contains(name, ".") {
		return nil, fmt.Errorf("%q is not a resource and an attribute", name)
	}
	return name, nil
}

var placeholder = regexp.MustCompile(`\$\{[^}]*\}`)

// sub replaces ${Name} and ${Resource.Attribute} in a text. The variables are the
// function's own, if any.
func (s *Stack) sub(text string, variables []any) (any, error) {
	got, err := s.eval(variables)
	if err != nil {
		return nil, err
	}
	var own map[string]any
	for _, v := range list(got) {
		own = object(v)
	}
	replaced := placeholder.ReplaceAllStringFunc(text, func(match string) string {
		name := match[2 : len(match)-1]
		v, failed := own[name], error(nil)
		switch {
		case v != nil:
		case strings.Contains(name, "."):
			v, failed = attribute(name)
		default:
			v, failed = s.ref(name)
		}
		value, ok := v.(string)
		if failed == nil && !ok {
			failed = fmt.Errorf("%s is not text", name)
		}
		err = errors.Join(err, failed)
		return value
	})
	return replaced, err
}

// condition evaluates a condition of the template.
func (s *Stack) condition(name string) (bool, error) {
	body, ok := s.Template.Section("Conditions")[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %q", name)
	}
	if s.busy[name] {
		return false, fmt.Errorf("condition %q depends on itself", name)
	}
	s.busy[name] = true
	defer delete(s.busy, name)
	yes, err := s.truth(body)
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	return yes, nil
}

// truth evaluates the body of a condition.
func (s *Stack) truth(v any) (bool, error) {
	got, err := s.eval(v)
	if err == nil && got != "true" && got != "false" {
		err = errors.New("it is not a condition")
	}
	return got == "true", err
}
