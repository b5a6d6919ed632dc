package main

import (
	"bytes"
	"errors"
	"testing"

	"chat-service-backend/ops/console"
)

func TestWhatIsPrintedCannotCommandATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"Grüße, 世界 🙂":      "Grüße, 世界 🙂",
		"a\x1b[2Jb\u009bd": `a\u001b[2Jb\u009bd`,
		"two\nlines":       `two\nlines`,
		"\u202egnp.exe":    `\u202egnp.exe`,
		"\U000E0041":       `\udb40\udc41`,
	} {
		var out bytes.Buffer
		c := &console.Console{Out: &out, Err: &out}
		c.Say("%s", text)
		c.Progress("%v", errors.New(console.Safe(text)))
		if err := c.PrintJSON(text); err != nil || out.String() != want+"\n"+want+"\n\""+want+"\"\n" {
			t.Errorf("%q: want %s three times, got %v\n%s", text, want, err, out.String())
		}
	}
}

func TestURLsAreShownWithoutPasswordsAndQueries(t *testing.T) {
	for text, want := range map[string]string{
		"hook https://user:pw@example.com/a?key=secret#x, disabled": "hook https://example.com/a, disabled",
		`Get "https://u@h.example:8080?token=1": refused`:           `Get "https://h.example:8080": refused`,
		"https://example.com/webhook":                               "https://example.com/webhook",
		"amqp://guest:guest@mq/%zz?x=1":                             "amqp://mq/%zz",
		"arn:aws:sqs:eu-central-1:1:q":                              "arn:aws:sqs:eu-central-1:1:q",
	} {
		if got := console.Safe(text); got != want {
			t.Errorf("%s: want %s, got %s", text, want, got)
		}
	}
}

func TestNearestNameIsOneOfAFewTypingMistakes(t *testing.T) {
	for text, want := range map[string]string{"message.nwe": "message.new", "mesage.new": "message.new", "user.banned": "", "message.new": "message.new"} {
		if got := console.Nearest(text, "message.new", "channel.created"); got != want {
			t.Errorf("%s: want %q, got %q", text, want, got)
		}
	}
}
