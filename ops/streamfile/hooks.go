package streamfile

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// addresses are the fields with a hook's address, by type.
var addresses = map[string]string{"webhook": "webhook_url", "pending_message": "webhook_url", "sqs": "sqs_queue_url", "sns": "sns_topic_arn"}

// addressLike matches the names of such fields in hooks of types that we do not know.
var addressLike = regexp.MustCompile(`_(url|arn|topic|queue|endpoint|stream|subject|uri)$`)

// Address returns where a hook sends events, or "" if it has no address.
func Address(hook Document) string {
	callback := Object(hook["callback"])
	if a := cmp.Or(Text(hook[addresses[Text(hook["hook_type"])]]), Text(hook["webhook_url"]), Text(hook["sqs_queue_url"]), Text(hook["sns_topic_arn"]), Text(callback["server_url"])); a != "" {
		return a
	}
	for _, field := range slices.Sorted(maps.Keys(hook)) {
		if a := Text(hook[field]); a != "" && addressLike.MatchString(field) {
			return a
		}
	}
	return ""
}

// Hooks returns an app's event hooks.
func Hooks(app Document) (hooks []Document) {
	for _, v := range List(app["event_hooks"]) {
		if hook := Object(v); hook != nil {
			hooks = append(hooks, hook)
		}
	}
	return hooks
}

// Events returns the types of events that a hook sends; nil stands for all.
func Events(hook Document) []any {
	if types := List(hook["event_types"]); !slices.Contains(types, any("*")) && len(types) > 0 {
		return types
	}
	return nil
}

// Product returns the product whose events a hook sends, "all" if it does not say.
func Product(hook Document) string { return cmp.Or(Text(hook["product"]), "all") }

// chat are the products whose hooks send the events of the chat.
var chat = map[string]bool{"all": true, "chat": true}

// SendTheSame reports whether two hooks send some events both, to one address.
func SendTheSame(a, b Document) bool {
	x, y := Events(a), Events(b)
	products := Product(a) == Product(b) || Product(a) == "all" || Product(b) == "all"
	return products && Address(a) == Address(b) && a["hook_type"] == b["hook_type"] && a["enabled"] == true && b["enabled"] == true &&
		(x == nil || y == nil || len(Without(x, y)) < len(x))
}

// title names a hook to the operator.
func title(hook Document) string {
	return strings.TrimSpace(Text(hook["hook_type"]) + " hook " + cmp.Or(Address(hook), Text(hook["id"])))
}

// meets reports how well a hook at Stream is the one that the file means: 0 is not at all.
// An id decides; otherwise type and address do, then the product, then the event types.
func meets(wanted, have Document) int {
	switch {
	case Text(wanted["id"]) != "":
		return map[bool]int{true: 9}[wanted["id"] == have["id"]]
	case !same(have["hook_type"], wanted["hook_type"]) || Address(wanted) != Address(have):
		return 0
	case Product(wanted) != Product(have) && !(chat[Product(wanted)] && chat[Product(have)]):
		return 0
	}
	_, fields := differences(hookKind, have, wanted)
	score := 1
	if len(fields) == 0 {
		score += 4
	}
	if _, differs := fields["event_types"]; !differs {
		score += 2
	}
	if Product(wanted) == Product(have) {
		score++
	}
	return score
}

// PlainWebhookURL returns the address for webhooks that every stack with these outputs has,
// whatever WebhookUrl is, or "" if they lack ClientApiUrl.
func PlainWebhookURL(outputs map[string]string) string {
	base := outputs["ClientApiUrl"]
	if base == "" {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/webhook"
}

// Ours reports whether an address for webhooks is one that the stack has, or had before.
func Ours(address string, outputs map[string]string) bool {
	now, plain := stackPath.FindString(outputs["WebhookUrl"]), PlainWebhookURL(outputs)
	u, err := url.Parse(address)
	return err == nil && outputs["WebhookUrl"] != "" && (now != "" && strings.HasPrefix(u.Path, now) || plain != "" && u.String() == plain)
}

// own returns a copy of a hook in which an address of the stack's is the output WebhookUrl:
// a stack's hook is moved to its new address.
func own(hook Document, outputs map[string]string) Document {
	if addresses[Text(hook["hook_type"])] != "webhook_url" || !Ours(Text(hook["webhook_url"]), outputs) {
		return hook
	}
	hook = maps.Clone(hook)
	hook["webhook_url"] = outputs["WebhookUrl"]
	return hook
}

// stackPath is the path of a webhook's address up to the stack's id.
var stackPath = regexp.MustCompile(`/webhook/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// match finds the hook at Stream for each in the file: the best fit first. It returns the
// index in wanted by the index in have.
func match(wanted, have []Document, outputs map[string]string) map[int]int {
	type fit struct{ score, w, h int }
	var fits []fit
	for w := range wanted {
		for h := range have {
			score := max(meets(wanted[w], have[h]), meets(wanted[w], own(have[h], outputs)))
			if score > 0 && Address(wanted[w]) == Address(have[h]) {
				score += 10
			}
			if score > 0 {
				fits = append(fits, fit{score, w, h})
			}
		}
	}
	slices.SortStableFunc(fits, func(a, b fit) int { return b.score - a.score })
	met, taken := map[int]int{}, map[int]bool{}
	for _, f := range fits {
		if _, done := met[f.h]; !done && !taken[f.w] {
			met[f.h], taken[f.w] = f.w, true
		}
	}
	return met
}

// Writable returns a hook as Stream takes it back: without nulls, and with times as text,
// where it may have answered nanoseconds.
func Writable(hook Document) Document {
	hook = maps.Clone(hook)
	maps.DeleteFunc(hook, func(_ string, v any) bool { return v == nil })
	for _, field := range []string{"created_at", "updated_at"} {
		if n, ok := hook[field].(json.Number); ok {
			ns, _ := n.Int64()
			hook[field] = time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
		}
	}
	return hook
}
