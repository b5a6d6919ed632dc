// Package moderation is the hook function of the development server: from word lists, it
// refuses a message, masks words in it, or lets it pass. index.mjs does the same, to copy.
package moderation

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"chat-service-backend/shared/settings"
)

// Build returns the function. It reads the lists once at the start, and again when they
// are older than PARAMETER_TTL.
func Build(ctx context.Context, getenv func(string) string) (func(context.Context, Hook) (Answer, error), error) {
	store, err := settings.Open(getenv)
	if err != nil {
		return nil, err
	}
	lists := settings.Keep(store, settings.Forever, func(ctx context.Context) (lists, error) { return fetchLists(ctx, store) })
	lists.Load(ctx)
	return (&moderator{lists.Get}).answer, nil
}

// A Hook is the payload from the backend, with the fields that this example needs.
type Hook struct {
	Kind  string `json:"kind"` // before_message_send or custom_command
	Event struct {
		Message struct {
			Text string `json:"text"`
		} `json:"message"`
	} `json:"event"`
}

// An Answer is {} if the message may pass unchanged.
type Answer struct {
	Message *message `json:"message,omitempty"`
}

// A message replaces what the sender wrote. With type error the message is not
// sent, and the sender sees the text.
type message struct {
	Type string `json:"type,omitempty"`
	Text string `json:"text"`
}

// lists are sets of words in lower case.
type lists struct{ refuse, mask map[string]bool }

// fetchLists reads the lists, words separated by commas, from Parameter Store. One
// of the two may be missing.
func fetchLists(ctx context.Context, store *settings.Store) (lists, error) {
	values, err := store.Parameters(ctx, "refuse", "mask")
	if err != nil {
		return lists{}, err
	}
	if len(values) == 0 {
		return lists{}, fmt.Errorf("neither %s nor %s has words; put a list into one of them: %w", store.Name("refuse"), store.Name("mask"), settings.ErrMissing)
	}
	return lists{words(values["refuse"]), words(values["mask"])}, nil
}

func words(list string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.SplitSeq(list, ",") {
		set[strings.ToLower(strings.TrimSpace(word))] = true
	}
	return set
}

type moderator struct {
	lists func(context.Context) (lists, error)
}

// aWord matches a word in any script, with combining accents.
var aWord = regexp.MustCompile(`[\pL\pM\pN]+`)

// answer decides on one message. Without lists it returns an error, and the
// backend's HookFailClosed decides whether the message passes.
func (m *moderator) answer(ctx context.Context, h Hook) (Answer, error) {
	lists, err := m.lists(ctx)
	if err != nil {
		return Answer{}, err
	}
	refused := false
	masked := aWord.ReplaceAllStringFunc(h.Event.Message.Text, func(word string) string {
		lower := strings.ToLower(word)
		refused = refused || lists.refuse[lower]
		if lists.mask[lower] {
			return strings.Repeat("*", utf8.RuneCountInString(word))
		}
		return word
	})
	switch {
	case refused:
		return Answer{&message{Type: "error", Text: "This message has words that are not welcome here."}}, nil
	case masked != h.Event.Message.Text:
		return Answer{&message{Text: masked}}, nil
	}
	return Answer{}, nil
}
