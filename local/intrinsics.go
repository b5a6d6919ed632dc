package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A template's value is nil, a string (CloudFormation compares numbers and
// booleans as text), a []any or a map[string]any. An intrinsic function is a
// map with its long name as the only key, whichever form the file has.

// maxTemplateNodes bounds what aliases can blow a template up to. CloudFormation
// takes 1 MB of text, so no honest template comes near.
const maxTemplateNodes = 200_000

// fromYAML turns a parsed document into a template's value.
func fromYAML(n *yaml.Node) (any, error) {
	left := maxTemplateNodes
	return fromNode(n, &left, 0)
}

func fromNode(n *yaml.Node, left *int, depth int) (any, error) {
	if *left--; *left < 0 || depth > 200 {
		return nil, fmt.Errorf("line %d: the template is too large or too deep", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) != 1 {
			return nil, errors.New("want one document")
		}
		return fromNode(n.Content[0], left, depth+1)
	case yaml.AliasNode:
		return fromNode(n.Alias, left, depth+1)
	}
	value, err := fromUntagged(n, left, depth)
	if err != nil {
		return nil, err
	}
	// "!Sub" is short for {"Fn::Sub": ...}; "!!str" is YAML's own.
	if name, ok := strings.CutPrefix(n.Tag, "!"); ok && name != "" && !strings.HasPrefix(name, "!") {
		if name != "Ref" && name != "Condition" {
			name = "Fn::" + name
		}
		return map[string]any{name: value}, nil
	}
	return value, nil
}

func fromUntagged(n *yaml.Node, left *int, depth int) (any, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return nil, nil
		case "!!bool":
			return strings.ToLower(n.Value), nil
		}
		return n.Value, nil
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := fromNode(c, left, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: want text as a key", key.Line)
			}
			if _, twice := m[key.Value]; twice {
				return nil, fmt.Errorf("line %d: key %q stands there twice", key.Line, key.Value)
			}
			v, err := fromNode(n.Content[i+1], left, depth+1)
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	}
	return nil, fmt.Errorf("line %d: this is not a template", n.Line)
}

// noValue is what AWS::NoValue evaluates to; its key or list item is removed.
type noValue struct{}

// evaluator evaluates intrinsic functions on demand, so that what the server
// does not need may use functions it does not know.
type evaluator struct {
	parameters map[string]any // a string, or a []any for list types
	pseudo     map[string]string
	conditions map[string]any
	mappings   map[string]any
	resources  map[string]any
	busy       map[string]bool // conditions being evaluated, against circles
}

// eval returns v without intrinsic functions: nil, string, []any or
// map[string]any; noValue only for a v that is itself AWS::NoValue.
func (e *evaluator) eval(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			got, err := e.eval(item)
			if err != nil {
				return nil, err
			}
			if _, gone := got.(noValue); !gone {
				list = append(list, got)
			}
		}
		return list, nil
	case map[string]any:
		if len(v) == 1 {
			for name, arg := range v {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					got, err := e.call(name, arg)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", name, err)
					}
					return got, nil
				}
			}
		}
		m := make(map[string]any, len(v))
		for key, item := range v {
			got, err := e.eval(item)
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

func (e *evaluator) call(name string, arg any) (any, error) {
	switch name {
	case "Ref":
		id, ok := arg.(string)
		if !ok {
			return nil, errors.New("want a name")
		}
		return e.ref(id)
	case "Fn::Sub":
		return e.sub(arg)
	case "Fn::GetAtt":
		return e.getAtt(arg)
	case "Fn::If":
		args, ok := arg.([]any)
		if !ok || len(args) != 3 {
			return nil, errors.New("want a condition and two values")
		}
		id, ok := args[0].(string)
		if !ok {
			return nil, errors.New("want a condition's name")
		}
		yes, err := e.condition(id)
		if err != nil {
			return nil, err
		}
		if yes {
			return e.eval(args[1])
		}
		return e.eval(args[2])
	case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		yes, err := e.truth(map[string]any{name: arg})
		return strconv.FormatBool(yes), err
	}
	got, err := e.eval(arg)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Fn::Join":
		separator, list, err := textAndList(got)
		if err != nil {
			return nil, err
		}
		words, err := texts(list)
		return strings.Join(words, separator), err
	case "Fn::Split":
		args, ok := got.([]any)
		if !ok || len(args) != 2 {
			return nil, errors.New("want a separator and a text")
		}
		words, err := texts(args)
		if err != nil {
			return nil, err
		}
		var list []any
		for _, word := range strings.Split(words[1], words[0]) {
			list = append(list, word)
		}
		return list, nil
	case "Fn::Select":
		index, list, err := textAndList(got)
		if err != nil {
			return nil, err
		}
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(list) {
			return nil, fmt.Errorf("want an index below %d, got %q", len(list), index)
		}
		return list[i], nil
	case "Fn::FindInMap":
		args, ok := got.([]any)
		if !ok || len(args) != 3 {
			return nil, errors.New("want a map and two keys")
		}
		keys, err := texts(args)
		if err != nil {
			return nil, err
		}
		var at any = e.mappings
		for _, key := range keys {
			m, _ := at.(map[string]any)
			if at, ok = m[key]; !ok {
				return nil, fmt.Errorf("there is no %q", key)
			}
		}
		return at, nil
	case "Fn::Base64":
		s, ok := got.(string)
		if !ok {
			return nil, errors.New("want a text")
		}
		return base64.StdEncoding.EncodeToString([]byte(s)), nil
	}
	return nil, errors.New("this function is not known here")
}

// ref is the value of a parameter or pseudo parameter. A resource's is its
// logical id: a placeholder that is the same on every run.
func (e *evaluator) ref(id string) (any, error) {
	if id == "AWS::NoValue" {
		return noValue{}, nil
	}
	if v, ok := e.pseudo[id]; ok {
		return v, nil
	}
	if v, ok := e.parameters[id]; ok {
		return v, nil
	}
	if _, ok := e.resources[id]; ok {
		return id, nil
	}
	return nil, fmt.Errorf("there is no %q", id)
}

// getAtt is a placeholder, "LogicalId.Attribute".
func (e *evaluator) getAtt(arg any) (any, error) {
	words := []string{}
	switch arg := arg.(type) {
	case string:
		words = strings.SplitN(arg, ".", 2)
	case []any:
		var err error
		if words, err = texts(arg); err != nil {
			return nil, err
		}
	}
	if len(words) != 2 {
		return nil, errors.New("want a resource and an attribute")
	}
	// SAM makes resources of its own ("ServiceApi.Stage"), so an unknown one is no error.
	return words[0] + "." + words[1], nil
}

// sub replaces ${Name} and ${Resource.Attribute}; ${!Name} stands for ${Name}.
func (e *evaluator) sub(arg any) (any, error) {
	own := map[string]any{}
	if args, ok := arg.([]any); ok {
		if len(args) != 2 {
			return nil, errors.New("want a text and its variables")
		}
		vars, err := e.eval(args[1])
		if err != nil {
			return nil, err
		}
		if own, ok = vars.(map[string]any); !ok {
			return nil, errors.New("want variables as a map")
		}
		arg = args[0]
	}
	text, ok := arg.(string)
	if !ok {
		return nil, errors.New("want a text")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("a ${ is never closed")
		}
		text = after
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			b.WriteString("${" + literal + "}")
			continue
		}
		name = strings.TrimSpace(name)
		v, ok := own[name]
		if !ok {
			var err error
			if strings.Contains(name, ".") {
				v, err = e.getAtt(name)
			} else {
				v, err = e.ref(name)
			}
			if err != nil {
				return nil, err
			}
		}
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s is not text", name)
		}
		b.WriteString(s)
	}
}

// condition evaluates a condition by name.
func (e *evaluator) condition(id string) (bool, error) {
	body, ok := e.conditions[id]
	if !ok {
		return false, fmt.Errorf("there is no condition %q", id)
	}
	if e.busy[id] {
		return false, fmt.Errorf("condition %q depends on itself", id)
	}
	if e.busy == nil {
		e.busy = map[string]bool{}
	}
	e.busy[id] = true
	defer delete(e.busy, id)
	yes, err := e.truth(body)
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", id, err)
	}
	return yes, nil
}

func (e *evaluator) truth(v any) (bool, error) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return false, errors.New("want a condition function")
	}
	if id, ok := m["Condition"].(string); ok {
		return e.condition(id)
	}
	for name, arg := range m {
		args, ok := arg.([]any)
		if !ok {
			return false, fmt.Errorf("%s: want a list", name)
		}
		switch name {
		case "Fn::Equals":
			if len(args) != 2 {
				return false, errors.New("Fn::Equals: want two values")
			}
			a, err := e.eval(args[0])
			if err != nil {
				return false, err
			}
			b, err := e.eval(args[1])
			if err != nil {
				return false, err
			}
			as, aok := a.(string)
			bs, bok := b.(string)
			return aok && bok && as == bs, nil
		case "Fn::Not":
			if len(args) != 1 {
				return false, errors.New("Fn::Not: want one condition")
			}
			yes, err := e.truth(args[0])
			return !yes, err
		case "Fn::And", "Fn::Or":
			for _, arg := range args {
				yes, err := e.truth(arg)
				if err != nil {
					return false, err
				}
				if yes == (name == "Fn::Or") {
					return yes, nil
				}
			}
			return name == "Fn::And", nil
		}
	}
	return false, errors.New("want a condition function")
}

// textAndList takes apart the arguments of Fn::Join and Fn::Select.
func textAndList(v any) (string, []any, error) {
	args, _ := v.([]any)
	if len(args) == 2 {
		text, ok := args[0].(string)
		list, ok2 := args[1].([]any)
		if ok && ok2 {
			return text, list, nil
		}
	}
	return "", nil, errors.New("want a text and a list")
}

func texts(list []any) ([]string, error) {
	words := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, errors.New("want text")
		}
		words[i] = s
	}
	return words, nil
}
