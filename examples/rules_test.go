package examples_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"chat-service-backend/ops/cfn"
)

// fits reports whether a value of an event fits an EventBridge pattern, as far as
// rules.yaml uses them: an object of patterns, or a list of texts and of the
// filters prefix, anything-but and exists.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
func fits(t *testing.T, pattern, value any) bool {
	t.Helper()
	if pattern, ok := pattern.(map[string]any); ok {
		object, _ := value.(map[string]any)
		for name, p := range pattern {
			if !fits(t, p, object[name]) {
				return false
			}
		}
		return true
	}
	return slices.ContainsFunc(pattern.([]any), func(one any) bool {
		filter, isFilter := one.(map[string]any)
		if !isFilter {
			return one == value
		}
		text, isText := value.(string)
		if prefix, ok := filter["prefix"].(string); ok {
			return isText && strings.HasPrefix(text, prefix)
		}
		if others, ok := filter["anything-but"].([]any); ok {
			return value != nil && !slices.Contains(others, value)
		}
		if wanted, ok := filter["exists"]; ok {
			return (value != nil) == (wanted == true || wanted == "true")
		}
		t.Errorf("want prefix, anything-but or exists, got %v", filter)
		return false
	})
}

func TestRulesPickTheEventsThatTheirNamesSay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("events/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	template, err := cfn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]any{}
	for id, v := range template.Section("Resources") {
		if properties, _ := v.(map[string]any)["Properties"].(map[string]any); properties["EventPattern"] != nil {
			rules[id] = properties["EventPattern"]
		}
	}
	if len(rules) != 4 {
		t.Fatalf("want four rules, got %d", len(rules))
	}
	onBus := func(source, kind, metadata, event string) string {
		return `{"source":"` + source + `","detail-type":"` + kind + `","detail":{"metadata":` + metadata + `,"event":` + event + `}}`
	}
	for event, want := range map[string][]string{
		onBus("stream.chat", "message.new", `{}`, `{"type":"message.new","cid":"messaging:travel","user":{"id":"alice"}}`):         {"MessagesToQueue"},
		onBus("stream.chat", "message.new", `{}`, `{"type":"message.new","cid":"support:42","user":{"id":"alice"}}`):               {"MessagesToQueue", "SupportToStateMachine"},
		onBus("stream.chat", "message.new", `{}`, `{"type":"message.new","cid":"support:42","user":{"id":"support-bot"}}`):         {"MessagesToQueue"},
		onBus("stream.chat", "message.new", `{}`, `{"type":"message.new","cid":"supporters:1","user":{"id":"alice"}}`):             {"MessagesToQueue"},
		onBus("stream.chat", "message.deleted", `{}`, `{"type":"message.deleted","cid":"support:42","user":{"id":"alice"}}`):       {"MessagesToQueue"},
		onBus("stream.chat", "message.flagged", `{}`, `{"type":"message.flagged","cid":"messaging:travel","user":{"id":"bob"}}`):   {"MessagesToQueue", "ModerationToTopic"},
		onBus("stream.chat", "user.banned", `{}`, `{"type":"user.banned","user":{"id":"eve"}}`):                                    {"ModerationToTopic"},
		onBus("stream.chat", "channel.created", `{}`, `{"type":"channel.created","cid":"support:42","user":{"id":"alice"}}`):       nil,
		onBus("stream.chat", "member.added", `{"object":{"bucket":"large","key":"2026/11/24/ab"}}`, `null`):                        {"LargeToQueue"},
		onBus("stream.chat", "message.new", `{"object":{"bucket":"large","key":"2026/11/24/ab"}}`, `null`):                         {"LargeToQueue", "MessagesToQueue"},
		onBus("stream.chat", "untyped", `{}`, `{"message":{"text":"hello"},"user":{"id":"alice"},"channel":{"cid":"support:42"}}`): nil,
		onBus("aws.s3", "message.new", `{}`, `{"type":"message.new","cid":"support:42","user":{"id":"alice"}}`):                    nil,
	} {
		var value any
		if err := json.Unmarshal([]byte(event), &value); err != nil {
			t.Fatal(err)
		}
		var got []string
		for id, pattern := range rules {
			if fits(t, pattern, value) {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: want %q, got %q", event, want, got)
		}
	}
}
