package cfn

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Options say how a template is deployed.
type Options struct {
	Region, Account, StackName string
	Parameters                 map[string]string // over the template's defaults
}

// A Stack is a template whose parameters have values.
type Stack struct {
	Template *Template

	name       string
	pseudo     map[string]string
	parameters map[string]any  // a string, or a []any for list types
	busy       map[string]bool // conditions being evaluated, against circles
}

// Stack gives the template's parameters their values. As CloudFormation does, it
// refuses parameters that the template lacks, values outside their constraints,
// and combinations that a rule forbids. Its errors do not repeat a value, which
// may be a secret.
func (t *Template) Stack(o Options) (*Stack, error) {
	parameters, err := t.parameters(o.Parameters)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		Template: t,
		name:     o.StackName,
		pseudo: map[string]string{
			"AWS::AccountId": o.Account,
			"AWS::Partition": "aws",
			"AWS::Region":    o.Region,
			"AWS::StackId":   "arn:aws:cloudformation:" + o.Region + ":" + o.Account + ":stack/" + o.StackName + "/0",
			"AWS::StackName": o.StackName,
			"AWS::URLSuffix": "amazonaws.com",
		},
		parameters: parameters,
		busy:       map[string]bool{},
	}
	return s, s.checkRules()
}

// Parameter returns the value of a parameter, "" for one that the template
// lacks.
func (s *Stack) Parameter(name string) string { return text(s.parameters[name], "") }

// Resources returns the resources of a type, as they are written, by logical id.
// One whose condition does not hold is not among them.
func (s *Stack) Resources(kind string) (map[string]map[string]any, error) {
	found := map[string]map[string]any{}
	for id, v := range s.Template.Section("Resources") {
		resource := object(v)
		if resource["Type"] != kind {
			continue
		}
		if name, ok := resource["Condition"].(string); ok {
			if yes, err := s.condition(name); err != nil {
				return nil, fmt.Errorf("%s: %w", id, err)
			} else if !yes {
				continue
			}
		}
		found[id] = resource
	}
	return found, nil
}

func (t *Template) parameters(given map[string]string) (map[string]any, error) {
	declared := t.Section("Parameters")
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := declared[name]; !ok {
			return nil, fmt.Errorf("the template has no parameter %q", name)
		}
	}
	got := make(map[string]any, len(declared))
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		p := object(declared[name])
		value, ok := given[name]
		if !ok {
			if value, ok = p["Default"].(string); !ok {
				return nil, fmt.Errorf("parameter %s: want a value, it has no default", name)
			}
		}
		values, isList := []string{value}, false
		if kind := text(p["Type"], ""); kind == "CommaDelimitedList" || strings.HasPrefix(kind, "List<") {
			values, isList = strings.Split(value, ","), true
		}
		items := make([]any, len(values))
		for i, value := range values {
			if isList {
				value = strings.TrimSpace(value)
			}
			if err := check(p, value); err != nil {
				if hint := text(p["ConstraintDescription"], ""); hint != "" {
					err = fmt.Errorf("%w (%s)", err, hint)
				}
				return nil, fmt.Errorf("parameter %s: %w", name, err)
			}
			items[i] = value
		}
		got[name] = items[0]
		if isList {
			got[name] = items
		}
	}
	return got, nil
}

// check measures a value by the constraints of its parameter.
func check(p map[string]any, value string) error {
	within := func(low, high string, n float64, what string) error {
		if limit, ok := number(p[low]); ok && n < limit {
			return fmt.Errorf("want at least %v%s", limit, what)
		}
		if limit, ok := number(p[high]); ok && n > limit {
			return fmt.Errorf("want at most %v%s", limit, what)
		}
		return nil
	}
	if strings.Contains(text(p["Type"], ""), "Number") {
		n, ok := number(value)
		if !ok {
			return errors.New("want a number")
		}
		if err := within("MinValue", "MaxValue", n, ""); err != nil {
			return err
		}
	}
	if err := within("MinLength", "MaxLength", float64(len([]rune(value))), " characters"); err != nil {
		return err
	}
	if pattern, ok := p["AllowedPattern"].(string); ok {
		// CloudFormation matches the whole value. A pattern that only Java
		// understands (look-ahead) is left to the deployment.
		if re, err := regexp.Compile(`\A(?:` + pattern + `)\z`); err == nil && !re.MatchString(value) {
			return fmt.Errorf("want a value that matches %s", pattern)
		}
	}
	if allowed := list(p["AllowedValues"]); allowed != nil && !slices.Contains(allowed, any(value)) {
		return fmt.Errorf("want one of %q", allowed)
	}
	return nil
}

// checkRules applies the template's rules. A rule with a function that is not
// known here is left to the deployment.
func (s *Stack) checkRules() error {
	rules := s.Template.Section("Rules")
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		rule := object(rules[id])
		if condition, ok := rule["RuleCondition"]; ok {
			if applies, err := s.truth(condition); err != nil || !applies {
				continue
			}
		}
		for _, v := range list(rule["Assertions"]) {
			assertion := object(v)
			if holds, err := s.truth(assertion["Assert"]); err == nil && !holds {
				return fmt.Errorf("rule %s: %s", id, text(assertion["AssertDescription"], "its assertion does not hold"))
			}
		}
	}
	return nil
}

// number returns the number that a text has.
func number(v any) (float64, bool) {
	n, err := strconv.ParseFloat(text(v, ""), 64)
	return n, err == nil
}
