package streamfile

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// allow names the flag that each risk needs.
var allow = map[string]string{deletes: "-allow-delete", lockout: "-allow-lockout"}

// conceal returns a copy of a value with the secrets hidden.
func conceal(field string, v any) any {
	switch v := v.(type) {
	case []any:
		all := []any{}
		for _, item := range v {
			all = append(all, conceal(field, item))
		}
		return all
	case Document:
		all := Document{}
		for name := range v {
			all[name] = conceal(field+"."+name, v[name])
		}
		return all
	case nil:
		return nil
	}
	secret := slices.ContainsFunc(strings.Split(field, "."), func(name string) bool { return credential(name, v) })
	if v != "" && secret && !strings.Contains(field, "grants.") {
		return "(hidden)"
	}
	return v
}

// show prints a plan the way Terraform does. A try takes a line.
func (p *planner) show(steps []step, notes []string) {
	count := map[string]int{}
	for _, s := range changes(steps) {
		for _, c := range s.Changes {
			count[c.Action]++
			p.Say("  %s %s%s", map[string]string{"create": "+", "update": "~", "delete": "-"}[c.Action], c.What, warning(c))
			for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
				p.Say("      %s: %s", field, c.Fields[field].line(field))
			}
		}
	}
	if len(count) > 0 {
		p.Say("Plan: %d to add, %d to change, %d to delete.", count["create"], count["update"], count["delete"])
	}
	for _, s := range steps {
		if c := s.Changes[0]; s.Why != "" {
			value := ""
			for field, d := range c.Fields {
				if len(c.Fields) == 1 {
					value = " = " + Show(conceal(field, d.After))
				}
			}
			p.Say("  ? %s %s%s   (each apply tries it: %s)%s", c.Action, c.What, value, s.Why, warning(c))
		}
	}
	for _, n := range notes {
		p.Say("Note: %s", n)
	}
}

func warning(c change) string {
	return map[string]string{deletes: "   (needs -allow-delete)", lockout: "   (needs -allow-lockout: somebody may do less than now)"}[c.Risk]
}

func (d difference) line(field string) string {
	before, after := conceal(field, d.Before), conceal(field, d.After)
	if _, ok := after.([]any); ok {
		var parts []string
		for _, v := range Without(List(before), List(after)) {
			parts = append(parts, "- "+Show(v))
		}
		for _, v := range Without(List(after), List(before)) {
			parts = append(parts, "+ "+Show(v))
		}
		if len(parts) > 0 {
			return strings.Join(parts, ", ")
		}
	}
	if before == nil {
		return Show(after)
	}
	return Show(before) + " -> " + Show(after)
}

// Show returns a value on one line.
func Show(v any) string {
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	b, _ := json.Marshal(v)
	return string(b)
}
