package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

var errNoAnswer = errors.New("want an answer, got the end of input")

// ask asks a question until check accepts the answer, which it returns without
// surrounding space.
func (o *ops) ask(ctx context.Context, question string, hidden bool, check func(string) error) (string, error) {
	for {
		answer, err := o.line(ctx, question, hidden)
		if err != nil {
			return "", err
		}
		if err = check(answer); err == nil {
			return answer, nil
		}
		fmt.Fprintf(o.stderr, "  %v\n", err)
	}
}

// confirm reports whether the user types yes. With -yes it does not ask.
func (o *ops) confirm(ctx context.Context, question string) (bool, error) {
	if o.yes {
		return true, nil
	}
	answer, err := o.line(ctx, question+" Type yes to go on: ", false)
	if errors.Is(err, errNoAnswer) {
		err = errors.New("want an answer or -yes, got the end of input")
	}
	return answer == "yes", err
}

// line asks for one line, until ctx is done. A terminal does not show a hidden one.
func (o *ops) line(ctx context.Context, question string, hidden bool) (string, error) {
	read := func() (string, error) {
		fmt.Fprint(o.stderr, question)
		return o.lines.ReadString('\n')
	}
	if file, ok := o.stdin.(*os.File); ok && hidden && term.IsTerminal(int(file.Fd())) {
		// Switch the echo off before the question shows: somebody may type ahead.
		state, err := term.MakeRaw(int(file.Fd()))
		if err != nil {
			return "", err
		}
		defer term.Restore(int(file.Fd()), state)
		read = func() (string, error) {
			return term.NewTerminal(struct {
				io.Reader
				io.Writer
			}{file, o.stderr}, "").ReadPassword(question)
		}
	}
	var answer string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err = read()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		fmt.Fprintln(o.stderr)
		return "", context.Cause(ctx)
	}
	answer = strings.TrimSpace(answer)
	if err != nil && (answer == "" || !errors.Is(err, io.EOF)) {
		return "", errNoAnswer
	}
	return answer, nil
}
