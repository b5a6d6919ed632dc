package streamapi

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// pick returns the objects that match query's filter_conditions, in order of their ids.
func pick(all objects, query document) ([]document, error) {
	filter := object(query["filter_conditions"])
	if filter == nil && query["filter_conditions"] != nil {
		return nil, badInput("filter_conditions must be an object")
	}
	if _, err := matches(nil, filter); err != nil { // depends on the filter only
		return nil, err
	}
	var ids []string
	in, some := object(filter["id"])["$in"].([]any) // at once, however many others there are
	for _, id := range in {
		ids = append(ids, text(id))
	}
	if !some {
		ids = slices.Collect(maps.Keys(all))
	}
	slices.Sort(ids)
	found := []document{}
	for _, id := range slices.Compact(ids) {
		if doc := all[id]; doc != nil {
			if yes, _ := matches(doc, filter); yes {
				found = append(found, doc)
			}
		}
	}
	return found, nil
}

// page returns what query wants of all that was found: from offset on, and at most limit.
func page(found []document, query document, limit int) []document {
	found = found[min(number(query["offset"], 0), len(found)):]
	return found[:min(number(query["limit"], limit), len(found))]
}

// matches knows Stream's operators, apart from $q and those for places.
func matches(doc, filter document) (bool, error) {
	all := true
	for field, want := range filter {
		if field == "$and" || field == "$or" || field == "$nor" {
			some, every := false, true
			for _, v := range list(want) {
				yes, err := matches(doc, object(v))
				if err != nil {
					return false, err
				}
				some, every = some || yes, every && yes
			}
			all = all && (field == "$and" && every || field == "$or" && some || field == "$nor" && !some)
			continue
		}
		conditions, ok := want.(document)
		if !ok {
			conditions = document{"$eq": want}
		}
		for operator, want := range conditions {
			match := operators[operator]
			if match == nil {
				return false, badInput("%s: the stand-in for Stream does not know %s", field, operator)
			}
			if _, ok := want.([]any); !ok && strings.HasSuffix(operator, "in") {
				return false, badInput("%s: %s wants a list", field, operator)
			}
			all = all && match(doc[field], want)
		}
	}
	return all, nil
}

var operators = map[string]func(got, want any) bool{
	"$eq":       equal,
	"$contains": equal,
	"$ne":       func(got, want any) bool { return !equal(got, want) },
	"$in":       isOneOf,
	"$nin":      func(got, want any) bool { return !isOneOf(got, want) },
	"$gt":       func(got, want any) bool { return compare(got, want) > 0 },
	"$gte":      func(got, want any) bool { return equal(got, want) || compare(got, want) > 0 },
	"$lt":       func(got, want any) bool { return compare(got, want) < 0 },
	"$lte":      func(got, want any) bool { return equal(got, want) || compare(got, want) < 0 },
	"$exists":   func(got, want any) bool { return (got != nil) == (want == true) },
	"$autocomplete": func(got, want any) bool {
		return slices.ContainsFunc(strings.Fields(strings.ToLower(text(got))), func(word string) bool {
			return strings.HasPrefix(word, strings.ToLower(text(want)))
		})
	},
}

func isOneOf(got, want any) bool {
	return slices.ContainsFunc(list(want), func(v any) bool { return equal(got, v) })
}

// compare returns 0 for values that have no order.
func compare(got, want any) int {
	a, errA := strconv.ParseFloat(textOf(got), 64)
	b, errB := strconv.ParseFloat(textOf(want), 64)
	switch {
	case errA == nil && errB == nil:
		return cmp.Compare(a, b)
	case text(got) != "" && text(want) != "":
		return strings.Compare(text(got), text(want)) // of times, too
	}
	return 0
}

// equal compares JSON values. A list, such as a channel's members, also equals
// each of its items.
func equal(got, want any) bool {
	return reflect.DeepEqual(got, want) || slices.ContainsFunc(list(got), func(v any) bool { return reflect.DeepEqual(v, want) })
}
