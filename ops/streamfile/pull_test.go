package streamfile

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"chat-service-backend/ops/streamspec"
)

// odd returns what Stream might answer for a field, and at times what it must not.
func odd(r *rand.Rand, f streamspec.Field, depth int) any {
	texts := []string{"", "x", "no", "on", "null", "~", "1e3", "0x1", "2026-01-01", "${WebhookUrl}", "$${a}", "a: b", "- c", "#", " lead", "trail ", "two\nlines", "tab\t", "é", "\u0085\u2028", "\x7f", "🙂", "<<", "!important", "'", `"`, "\\", "%", "@", "`", "*", "&a", "?", "|", ">", "{", "[1]", "=", "y"}
	values := []any{nil, true, false, number("0"), number("-1"), number("1.5"), number("9007199254740993"), number("1e+30"), []any{}, Document{}}
	if f.Type != "" && r.Intn(3) > 0 && depth < 3 {
		item := streamspec.Field{}
		if kind := f.Type[0]; kind == '[' || kind == '{' {
			item.Type = f.Type[1 : len(f.Type)-1]
			if item.Type == "any" {
				item.Type = ""
			}
			list, object := []any{}, Document{}
			for range r.Intn(3) {
				list, object[texts[r.Intn(len(texts))]] = append(list, odd(r, item, depth+1)), odd(r, item, depth+1)
			}
			if kind == '[' {
				return list
			}
			return object
		}
		if len(f.Enum) > 0 {
			return f.Enum[r.Intn(len(f.Enum))]
		}
		switch f.Type {
		case "string", "time", "duration":
			return texts[r.Intn(len(texts))]
		case "integer", "number":
			return number(fmt.Sprint(r.Intn(100000)))
		case "boolean":
			return r.Intn(2) == 0
		case "any":
		default:
			return oddObject(r, f.Type, depth+1)
		}
	}
	if r.Intn(2) == 0 {
		return texts[r.Intn(len(texts))]
	}
	return values[r.Intn(len(values))]
}

func oddObject(r *rand.Rand, object string, depth int) Document {
	d := Document{}
	for field, f := range streamspec.Objects()[object] {
		if r.Intn(3) > 0 && field != "*" {
			d[field] = odd(r, f, depth)
		}
	}
	if r.Intn(3) == 0 {
		d[fmt.Sprint("unheard_of_", r.Intn(3))] = odd(r, streamspec.Field{}, depth)
	}
	return d
}

// Whatever an app is like, pull writes a file, and a plan with it is empty.
func FuzzPull(f *testing.F) {
	for seed := range int64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		r := rand.New(rand.NewSource(seed))
		st := &state{app: oddObject(r, "AppResponseFields", 0), items: map[string]map[string]Document{}}
		if v := Text(st.app["permission_version"]); v != "v1" {
			st.app["permission_version"] = "v2"
		}
		grants := func() Document {
			g := Document{}
			for _, role := range []string{"user", "true", "key ring"} {
				g[role] = []any{"a", role, "!" + role, `\!a`}
			}
			return g
		}
		st.app["grants"] = grants()
		hooks := []any{}
		for range r.Intn(4) {
			h := oddObject(r, "EventHook", 0)
			h["hook_type"] = []string{"webhook", "sqs", "sns", "pending_message", "gcp_pubsub", ""}[r.Intn(6)]
			if r.Intn(2) == 0 {
				h["webhook_url"] = []string{"https://a", "https://hooks"}[r.Intn(2)]
			}
			hooks = append(hooks, h)
			if r.Intn(3) == 0 {
				hooks = append(hooks, h)
			}
		}
		st.app["event_hooks"] = hooks
		for _, k := range collections {
			st.items[k.path] = map[string]Document{}
			for range r.Intn(3) {
				item := oddObject(r, k.answer, 0)
				item[k.id] = []string{"a", "zwei wörter", "true", "${X}", "c (d)", "giphy"}[r.Intn(6)]
				item["custom"] = r.Intn(4) > 0
				if k.key == "channel_types" {
					item["grants"], item["commands"] = grants(), []any{"giphy"}
					item["permissions"] = []any{}
				}
				st.items[k.path][k.label(item)] = item
			}
		}
		outputs := map[string]string{"WebhookUrl": "https://hooks"}
		text, _, err := pulled(st, outputs, nil)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "stream.yaml")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := readFile(name, outputs, func(string) string { return "" })
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		p, err := compare(file, st, withOthers)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, s := range p.steps {
			for _, c := range s.Changes {
				t.Errorf("want an empty plan, got %s %s %v\n%s", c.Action, c.What, c.Fields, text)
			}
		}
	})
}
