package cfn

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// Options describe a deployment of a template.
type Options struct {
	Region, Account, StackName string
	Parameters                 map[string]string // over the template's defaults
}

// A Stack is a template whose parameters have values.
type Stack struct {
	Template *Template

	values map[string]string // of parameters and pseudo parameters
	busy   map[string]bool   // conditions being evaluated, to detect cycles
}

// Stack gives the template's parameters their values. Like CloudFormation, it
// refuses parameters that the template does not declare, values outside their
// constraints, and combinations that a rule forbids. Its errors do not repeat a
// value, which may be a secret.
func (t *Template) Stack(o Options) (*Stack, error) {
	s := &Stack{
		Template: t,
		values: map[string]string{
			"AWS::AccountId": o.Account,
			"AWS::Partition": "aws",
			"AWS::Region":    o.Region,
			"AWS::StackName": o.StackName,
			"AWS::StackId":   "arn:aws:cloudformation:" + o.Region + ":" + o.Account + ":stack/" + o.StackName + "/00000000-0000-0000-0000-000000000000",
			"AWS::URLSuffix": "amazonaws.com",
		},
		busy: map[string]bool{},
	}
	declared := t.Section("Parameters")
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		if _, ok := declared[name]; !ok {
			return nil, fmt.Errorf("the template has no parameter %q; docs/settings.md lists them", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		p := object(declared[name])
		value, ok := o.Parameters[name]
		if !ok {
			if value, ok = p["Default"].(string); !ok {
				return nil, fmt.Errorf("parameter %s has no default; set it", name)
			}
		}
		if err := check(p, value); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		s.values[name] = value
	}
	return s, s.checkRules()
}

// Parameter returns the value of a parameter, or "" if the template does not
// declare it.
func (s *Stack) Parameter(name string) string { return s.values[name] }

// Resources returns the resources of a type, as written, by logical id. It leaves
// out those whose condition is false.
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

// check checks a value against the constraints of its parameter.
func check(p map[string]any, value string) error {
	limit := func(name string, none float64) float64 {
		if n, err := strconv.ParseFloat(text(p[name], ""), 64); err == nil {
			return n
		}
		return none
	}
	hint := text(p["ConstraintDescription"], "")
	switch kind := text(p["Type"], "String"); kind {
	case "Number":
		n, err := strconv.ParseFloat(value, 64)
		if low, high := limit("MinValue", math.Inf(-1)), limit("MaxValue", math.Inf(1)); err != nil || n < low || n > high {
			return fmt.Errorf("it is not a number from %v to %v", low, high)
		}
	case "String":
	default:
		return fmt.Errorf("its type is %s; use String or Number", kind)
	}
	if high := limit("MaxLength", math.Inf(1)); float64(len([]rune(value))) > high {
		return fmt.Errorf("it has over %v characters (%s)", high, hint)
	}
	if pattern, ok := p["AllowedPattern"].(string); ok {
		// CloudFormation matches the whole value. A pattern that only Java
		// understands (look-ahead) is left to the deployment.
		if re, err := regexp.Compile(`\A(?:` + pattern + `)\z`); err == nil && !re.MatchString(value) {
			return fmt.Errorf("%.80q %s", value, cmp.Or(hint, "does not match "+pattern)) // the template's patterns have up to 560 characters
		}
	}
	if allowed := list(p["AllowedValues"]); allowed != nil && !slices.Contains(allowed, any(value)) {
		return fmt.Errorf("%.80q is none of %q", value, allowed)
	}
	return nil
}

// checkRules applies the template's rules. A rule with a function that this package
// does not know is left to the deployment.
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
				return fmt.Errorf("rule %s: %s", id, text(assertion["AssertDescription"], "an assertion does not hold"))
			}
		}
	}
	return nil
}
