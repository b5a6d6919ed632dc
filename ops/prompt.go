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
		fmt.Fprint(o.stderr, question)
		answer, err := o.line(ctx, hidden)
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
	fmt.Fprintf(o.stderr, "%s Only yes counts: ", question)
	answer, err := o.line(ctx, false)
	if errors.Is(err, errNoAnswer) {
		err = errors.New("want an answer or -yes, got the end of input")
	}
	return answer == "yes", err
}

// line reads a line, or ends with ctx. A hidden one is not shown on a terminal.
func (o *ops) line(ctx context.Context, hidden bool) (string, error) {
	read := func() (string, error) { return o.lines.ReadString('\n') }
	if file, ok := o.stdin.(*os.File); ok && hidden && term.IsTerminal(int(file.Fd())) {
		fd := int(file.Fd())
		state, err := term.GetState(fd)
		if err != nil {
			return "", err
		}
		defer func() {
			_ = term.Restore(fd, state) // where ctx ends while the goroutine still reads
			fmt.Fprintln(o.stderr)
		}()
		read = func() (string, error) {
			text, err := term.ReadPassword(fd)
			return string(text), err
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
