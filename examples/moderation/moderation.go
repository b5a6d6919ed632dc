package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"chat-service-backend/shared/settings"
)

// A hook is what the backend invokes this function with, as far as it matters
// here.
type hook struct {
	Kind  string `json:"kind"` // before_message_send or custom_command
	Event struct {
		Message struct {
			Text string `json:"text"`
		} `json:"message"`
	} `json:"event"`
}

// An answer is {} where the message may pass as it is.
type answer struct {
	Message *message `json:"message,omitempty"`
}

// A message of type error is not sent, and its text is shown to the sender;
// another replaces what the sender wrote.
type message struct {
	Type string `json:"type,omitempty"`
	Text string `json:"text"`
}

// lists are words in lower case.
type lists struct{ refuse, mask map[string]bool }

// fetchLists reads the lists from Parameter Store, where they are words with
// commas between them. One of them may be missing.
func fetchLists(ctx context.Context, store *settings.Store) (lists, error) {
	values, err := store.Parameters(ctx, "refuse", "mask")
	if err != nil {
		return lists{}, err
	}
	if len(values) == 0 {
		return lists{}, fmt.Errorf("%s, %s: want a list of words: %w", store.Name("refuse"), store.Name("mask"), settings.ErrMissing)
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

// aWord is a word in any script, with its accents.
var aWord = regexp.MustCompile(`[\pL\pM\pN]+`)

// answer decides on one message. An error, when there are no lists, is not for
// this function to judge: the backend's HookFailClosed says what becomes of the
// message then.
func (m *moderator) answer(ctx context.Context, h hook) (answer, error) {
	lists, err := m.lists(ctx)
	if err != nil {
		return answer{}, err
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
		return answer{&message{Type: "error", Text: "This message has words that are not welcome here."}}, nil
	case masked != h.Event.Message.Text:
		return answer{&message{Text: masked}}, nil
	}
	return answer{}, nil
}
