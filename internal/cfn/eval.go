package cfn

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// noValue is what AWS::NoValue evaluates to; its key or list item is removed.
type noValue struct{}

// Eval returns v without intrinsic functions. A reference to a resource is its
// logical id, an attribute is "LogicalId.Attribute": names that are the same on
// every run. Functions that this project's template does not use are errors.
func (s *Stack) Eval(v any) (any, error) {
	got, err := s.eval(v)
	if _, gone := got.(noValue); gone {
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
		m := make(map[string]any, len(v))
		for key, item := range v {
			if len(v) == 1 && isFunction(key, item) {
				got, err := s.call(key, item)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", key, err)
				}
				return got, nil
			}
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

func isFunction(key string, argument any) bool {
	if key == "Condition" {
		_, ok := argument.(string)
		return ok
	}
	return key == "Ref" || strings.HasPrefix(key, "Fn::")
}

// call evaluates one function. A condition's value is "true" or "false".
func (s *Stack) call(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		return s.ref(text(argument, ""))
	case "Condition":
		yes, err := s.condition(text(argument, ""))
		return strconv.FormatBool(yes), err
	case "Fn::Sub":
		return s.sub(argument)
	case "Fn::GetAtt":
		if id, ok := argument.(string); ok {
			return s.attribute(id)
		}
		words, err := s.texts(argument, 2)
		return strings.Join(words, "."), err
	case "Fn::Split":
		words, err := s.texts(argument, 2)
		if err != nil {
			return nil, err
		}
		var items []any
		for item := range strings.SplitSeq(words[1], words[0]) {
			items = append(items, item)
		}
		return items, nil
	}
	arguments := list(argument)
	want := map[string]int{"Fn::If": 3, "Fn::Equals": 2, "Fn::Not": 1, "Fn::And": len(arguments), "Fn::Or": len(arguments)}
	switch n, ok := want[name]; {
	case !ok:
		return nil, errors.New("this function is not supported")
	case arguments == nil || len(arguments) != n:
		return nil, fmt.Errorf("want a list of %d, got %v", n, argument)
	}
	switch name {
	case "Fn::If":
		yes, err := s.condition(text(arguments[0], ""))
		switch {
		case err != nil:
			return nil, err
		case yes:
			return s.eval(arguments[1])
		}
		return s.eval(arguments[2])
	case "Fn::Equals":
		got, err := s.eval(arguments)
		if err != nil {
			return nil, err
		}
		both := got.([]any)
		return strconv.FormatBool(len(both) == 2 && reflect.DeepEqual(both[0], both[1])), nil
	case "Fn::Not":
		yes, err := s.truth(arguments[0])
		return strconv.FormatBool(!yes), err
	}
	for _, v := range arguments {
		if yes, err := s.truth(v); err != nil || yes == (name == "Fn::Or") {
			return strconv.FormatBool(yes), err
		}
	}
	return strconv.FormatBool(name == "Fn::And"), nil
}

// texts evaluates a list of n texts.
func (s *Stack) texts(v any, n int) ([]string, error) {
	got, err := s.eval(v)
	if err != nil {
		return nil, err
	}
	words := texts(got)
	if len(list(got)) != n || len(words) != n {
		return nil, fmt.Errorf("want a list of %d texts", n)
	}
	return words, nil
}

// texts returns the texts of a list, or a text alone.
func texts(v any) (words []string) {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	for _, item := range list(v) {
		if s, ok := item.(string); ok {
			words = append(words, s)
		}
	}
	return words
}

func (s *Stack) ref(id string) (any, error) {
	if id == "AWS::NoValue" {
		return noValue{}, nil
	}
	if v, ok := s.pseudo[id]; ok {
		return v, nil
	}
	if v, ok := s.parameters[id]; ok {
		return v, nil
	}
	if _, ok := s.Template.Section("Resources")[id]; ok {
		return id, nil
	}
	return nil, fmt.Errorf("there is no %q", id)
}

// attribute checks "LogicalId.Attribute". SAM makes resources of its own
// ("ServiceApi.Stage"), so an unknown one is no error.
func (s *Stack) attribute(name string) (any, error) {
	if !strings.Contains(name, ".") {
		return nil, fmt.Errorf("want a resource and an attribute, got %q", name)
	}
	return name, nil
}

// sub replaces ${Name} and ${Resource.Attribute}; ${!Name} stands for ${Name}.
func (s *Stack) sub(argument any) (any, error) {
	var own map[string]any
	if arguments := list(argument); len(arguments) == 2 {
		vars, err := s.eval(arguments[1])
		if err != nil {
			return nil, err
		}
		argument, own = arguments[0], object(vars)
	}
	rest, ok := argument.(string)
	if !ok {
		return nil, errors.New("want a text, or a text and its variables")
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(rest, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return nil, errors.New("a ${ is never closed")
		}
		rest = after
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			b.WriteString("${" + literal + "}")
			continue
		}
		v, err := own[name], error(nil)
		switch {
		case v != nil:
		case strings.Contains(name, "."):
			v, err = s.attribute(name)
		default:
			v, err = s.ref(name)
		}
		if err != nil {
			return nil, err
		}
		value, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s is not text", name)
		}
		b.WriteString(value)
	}
}

// condition evaluates a condition by name.
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

// truth evaluates a condition that is written out.
func (s *Stack) truth(v any) (bool, error) {
	got, err := s.eval(v)
	if err == nil && got != "true" && got != "false" {
		err = errors.New("want a condition")
	}
	return got == "true", err
}
