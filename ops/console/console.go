// Package console talks to the operator: it prints lines, progress and JSON, and asks.
//
// What it prints may come from Stream, AWS or a file, and so it escapes control
// characters, which could rewrite what a terminal shows, and shortens URLs, which may hold
// passwords.
package console

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/urfave/cli/v3"
)

// A Console is what commands print to and read answers from.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	JSON     bool // print JSON instead of lines
	Yes      bool // answer yes to every question

	lines *bufio.Reader // of In
	said  []string
}

// Flags returns the flags that every command has.
func (c *Console) Flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print JSON", Destination: &c.JSON},
		&cli.BoolFlag{Name: "yes", Usage: "answer yes to every question", Destination: &c.Yes},
	}
}

// Say prints a line for people. With -json, a command that prints no JSON of its own
// prints all these lines at the end, in [Console.End].
func (c *Console) Say(format string, args ...any) {
	c.said = append(c.said, line(format, args))
	if !c.JSON {
		fmt.Fprintln(c.Out, c.said[len(c.said)-1])
	}
}

// Quiet calls f, and returns a function that prints what f has said.
func (c *Console) Quiet(f func()) (say func()) {
	out, said := c.Out, c.said
	var b bytes.Buffer
	c.Out = &b
	f()
	c.Out = out
	all := c.said
	c.said = said
	return func() {
		c.said = all
		_, _ = out.Write(b.Bytes())
	}
}

// Progress prints a line about what is going on.
func (c *Console) Progress(format string, args ...any) { fmt.Fprintln(c.Err, line(format, args)) }

// PrintJSON prints a value.
func (c *Console) PrintJSON(v any) error {
	c.said = nil
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(c.Out, printable(b.String(), "\n"))
	return err
}

// End prints what -json owes for a command that has printed no JSON.
func (c *Console) End(err error) {
	if c.JSON && c.said != nil {
		_ = c.PrintJSON(map[string]any{"ok": err == nil, "said": c.said})
	}
}

// ErrReported is a failure that has already been printed.
var ErrReported = errors.New("reported")

// A UsageError is a bad value on the command line.
type UsageError struct{ error }

// Usage returns a [UsageError].
func Usage(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// line formats a line. Texts in it are one line each; errors may have several.
func line(format string, args []any) string {
	for i, v := range args {
		if s, ok := v.(string); ok {
			args[i] = Safe(s)
		}
	}
	return printable(fmt.Sprintf(format, args...), "\n")
}

// Safe returns text on one line, without what a terminal could take for a command, and
// with shortened URLs.
func Safe(text string) string { return printable(text, "") }

// printable escapes the characters that cannot be seen, other than those in keep, as
// JSON does.
func printable(text, keep string) string {
	var b strings.Builder
	for _, r := range urls.ReplaceAllStringFunc(text, ShortURL) {
		switch {
		case unicode.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

var urls = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>\\]*[^\s"'<>\\,.;:)]`)

// ShortURL returns a URL without user, password, query and fragment.
func ShortURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		scheme, rest, _ := strings.Cut(s, "://")
		rest, _, _ = strings.Cut(rest, "?")
		return scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return s
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// Nearest returns the name that somebody who wrote s may have meant, "" if none is near.
func Nearest(s string, names ...string) (nearest string) {
	best := 1 + len(s)/3
	for _, name := range names {
		if n := Distance(strings.ToLower(s), strings.ToLower(name)); n <= best {
			best, nearest = n-1, name
		}
	}
	return nearest
}

// Distance returns how many characters have to be changed, added or left out to make b of a.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before := row[0]
		row[0] = i + 1
		for j := range b {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
