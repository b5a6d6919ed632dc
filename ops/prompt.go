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

// ask prints a question and returns the answer without the blanks around it.
// Where check refuses it, it says why and asks again.
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

// confirm asks for a yes. Where nobody can answer, -yes has to.
func (o *ops) confirm(ctx context.Context, question string) (bool, error) {
	if o.yes {
		return true, nil
	}
	answer, err := o.line(ctx, question+" Only yes counts: ", false)
	if errors.Is(err, errNoAnswer) {
		err = errors.New("want an answer or -yes, got the end of input")
	}
	return answer == "yes", err
}

// line asks for a line, or ends with ctx. A hidden one is not shown on a terminal.
func (o *ops) line(ctx context.Context, question string, hidden bool) (string, error) {
	read := func() (string, error) {
		fmt.Fprint(o.stderr, question)
		return o.lines.ReadString('\n')
	}
	if file, ok := o.stdin.(*os.File); ok && hidden && term.IsTerminal(int(file.Fd())) {
		// The terminal shows nothing from before the question is there to be answered.
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
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{strings.TrimSpace(text), err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, io.EOF) && r.text != "" {
			r.err = nil
		} else if r.err != nil {
			r.err = errNoAnswer
		}
		return r.text, r.err
	case <-ctx.Done():
		fmt.Fprintln(o.stderr)
		return "", ctx.Err()
	}
}
