package moderation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"chat-service-backend/internal/awstest"
	"chat-service-backend/shared/settings"
)

func open(t *testing.T, parameters map[string]string) (*settings.Store, *awstest.ParameterStore) {
	t.Helper()
	ssm := awstest.NewParameterStore(t, parameters)
	store, err := settings.Open(ssm.Getenv(map[string]string{"PARAMETER_PREFIX": "/chat-moderation"}))
	if err != nil {
		t.Fatal(err)
	}
	return store, ssm
}

const refusal = `{"message":{"type":"error","text":"This message has words that are not welcome here."}}`

// parameters are the lists, and decisions the answers for texts with them.
var (
	parameters = map[string]string{"/chat-moderation/refuse": "scam, Größenwahn,", "/chat-moderation/mask": "darn,чёрт,e\u0301h,𝔡"}
	decisions  = map[string]string{
		"hello":                  `{}`,
		"":                       `{}`,
		"scampi, darned":         `{}`,
		"It is a SCAM!":          refusal,
		"darn, a scam":           refusal,
		"größenwahn":             refusal,
		"Darn it":                `{"message":{"text":"**** it"}}`,
		"darn/DARN <b>&":         `{"message":{"text":"****/**** <b>&"}}`,
		"Чёрт":                   `{"message":{"text":"****"}}`,
		"E\u0301h":               `{"message":{"text":"***"}}`,
		"𝔡":                      `{"message":{"text":"*"}}`,
		"a_darn_b":               `{"message":{"text":"a_****_b"}}`,
		"no words: 🙂 \u2028 ...": `{}`,
	}
)

func payload(kind, text string) string {
	payload, _ := json.Marshal(map[string]any{"kind": kind, "metadata": map[string]any{}, "event": map[string]any{"message": map[string]any{"text": text}, "user": map[string]any{}}})
	return string(payload)
}

func TestMessagesAreRefusedMaskedOrPassed(t *testing.T) {
	store, _ := open(t, parameters)
	m := &moderator{func(ctx context.Context) (lists, error) { return fetchLists(ctx, store) }}
	for text, want := range decisions {
		for _, kind := range []string{"before_message_send", "custom_command"} {
			var h Hook
			if err := json.Unmarshal([]byte(payload(kind, text)), &h); err != nil {
				t.Fatal(err)
			}
			a, err := m.answer(t.Context(), h)
			var got bytes.Buffer
			encoder := json.NewEncoder(&got)
			encoder.SetEscapeHTML(false)
			_ = encoder.Encode(a)
			if err != nil || got.String() != want+"\n" {
				t.Errorf("%q: want %s, got %s, %v", text, want, &got, err)
			}
		}
	}
}

// node calls the handler of index.mjs, with Parameter Store's answers and the time
// from each step, and prints a line for each.
const node = `import { readFileSync } from 'node:fs';
	let now = 1e12, parameters;
	Date.now = () => now;
	globalThis.SSMClient = class {
		async send({ Names }) {
			if (!parameters) throw new Error('down');
			return { Parameters: Names.filter((Name) => Name in parameters).map((Name) => ({ Name, Value: parameters[Name] })) };
		}
	};
	globalThis.GetParametersCommand = class { constructor(input) { Object.assign(this, input); } };
	const text = readFileSync('index.mjs', 'utf8').replace(/^import .*$/m, '');
	const { handler } = await import('data:text/javascript,' + encodeURIComponent(text));
	for (const step of JSON.parse(process.argv[1])) {
		now += step.after * 1000;
		parameters = step.parameters;
		console.log(await handler(JSON.parse(step.payload)).then(JSON.stringify, (err) => err.message));
	}`

func TestNodeDecidesAlike(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		awstest.Missing(t, "node is not installed")
	}
	type step struct {
		After      int               `json:"after"` // seconds after the step before
		Parameters map[string]string `json:"parameters"`
		Payload    string            `json:"payload"`
	}
	darn, masked := payload("before_message_send", "darn"), `{"message":{"text":"****"}}`
	other := map[string]string{"/chat-moderation/refuse": "darn"}
	steps := []step{{0, map[string]string{}, darn}, {0, nil, darn}, {0, parameters, darn}, {59, other, darn}, {1, nil, darn}, {60, other, darn}, {60, parameters, `{"event":{}}`}}
	wants := []string{"neither /chat-moderation/refuse nor /chat-moderation/mask has words; put a list into one of them", "down", masked, masked, masked, refusal, `{}`}
	for text, want := range decisions {
		steps, wants = append(steps, step{0, parameters, payload("custom_command", text)}), append(wants, want)
	}
	given, _ := json.Marshal(steps)
	c := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", node, string(given))
	c.Env = append(os.Environ(), "PARAMETER_PREFIX=/chat-moderation")
	out, err := c.Output()
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(got) != len(wants) {
		t.Fatalf("want %d answers, got %v\n%s", len(wants), err, out)
	}
	for i, want := range wants {
		if got[i] != want {
			t.Errorf("%s: want %s, got %s", steps[i].Payload, want, got[i])
		}
	}
}

func TestWithoutListsItFails(t *testing.T) {
	store, ssm := open(t, nil)
	m := &moderator{func(ctx context.Context) (lists, error) { return fetchLists(ctx, store) }}
	if _, err := m.answer(t.Context(), Hook{}); !errors.Is(err, settings.ErrMissing) {
		t.Errorf("want an error for missing lists, got %v", err)
	}
	ssm.Down(true)
	if _, err := m.answer(t.Context(), Hook{}); err == nil || errors.Is(err, settings.ErrMissing) {
		t.Errorf("want an error from Parameter Store, got %v", err)
	}
}
