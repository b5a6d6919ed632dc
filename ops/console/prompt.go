package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

var errNoAnswer = errors.New("the input ended before every question was answered")

// Ask asks a question until check accepts the answer, which it returns without
// surrounding space. Only on a terminal can a wrong answer be corrected: in a script, the
// next line is the answer to the next question.
func (c *Console) Ask(ctx context.Context, question string, hidden bool, check func(string) error) (string, error) {
	for {
		answer, err := c.line(ctx, question, hidden)
		if err != nil {
			return "", err
		}
		if err = check(answer); err == nil {
			return answer, nil
		}
		if !c.terminal() {
			return "", err
		}
		c.Progress("  %v", err)
	}
}

func (c *Console) terminal() bool {
	file, ok := c.In.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Confirm reports whether the user types yes. With -yes it does not ask.
func (c *Console) Confirm(ctx context.Context, question string) (bool, error) {
	if c.Yes {
		return true, nil
	}
	answer, err := c.line(ctx, question+" Type yes to go on: ", false)
	if errors.Is(err, errNoAnswer) {
		err = errors.New("nobody answered; -yes answers every question")
	}
	return answer == "yes", err
}

// line asks for one line, until ctx is done. A terminal does not show a hidden one.
func (c *Console) line(ctx context.Context, question string, hidden bool) (string, error) {
	if c.lines == nil {
		c.lines = bufio.NewReader(c.In)
	}
	read := func() (string, error) {
		fmt.Fprint(c.Err, Safe(question))
		return c.lines.ReadString('\n')
	}
	if hidden && c.terminal() {
		file := c.In.(*os.File)
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
			}{file, c.Err}, "").ReadPassword(Safe(question))
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
		fmt.Fprintln(c.Err)
		return "", context.Cause(ctx)
	}
	answer = strings.TrimSpace(answer)
	if err != nil && (answer == "" || !errors.Is(err, io.EOF)) {
		return "", errNoAnswer
	}
	return answer, nil
}
