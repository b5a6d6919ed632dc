package moderation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

func TestMessagesAreRefusedMaskedOrPassed(t *testing.T) {
	store, _ := open(t, map[string]string{"/chat-moderation/refuse": "scam, Größenwahn,", "/chat-moderation/mask": "darn,чёрт"})
	m := &moderator{func(ctx context.Context) (lists, error) { return fetchLists(ctx, store) }}
	const refusal = `{"message":{"type":"error","text":"This message has words that are not welcome here."}}`
	for text, want := range map[string]string{
		"hello":                  `{}`,
		"":                       `{}`,
		"scampi, darned":         `{}`,
		"It is a SCAM!":          refusal,
		"darn, a scam":           refusal,
		"größenwahn":             refusal,
		"Darn it":                `{"message":{"text":"**** it"}}`,
		"darn/DARN <b>&":         `{"message":{"text":"****/**** <b>&"}}`,
		"Чёрт":                   `{"message":{"text":"****"}}`,
		"a_darn_b":               `{"message":{"text":"a_****_b"}}`,
		"no words: 🙂 \u2028 ...": `{}`,
	} {
		for _, kind := range []string{"before_message_send", "custom_command"} {
			payload, _ := json.Marshal(map[string]any{"kind": kind, "metadata": map[string]any{}, "event": map[string]any{"message": map[string]any{"text": text}, "user": map[string]any{}}})
			var h Hook
			if err := json.Unmarshal(payload, &h); err != nil {
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
