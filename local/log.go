package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"sync"
)

// discardLog drops net/http's messages about callers and functions that went
// away, which the server reports itself.
var discardLog = log.New(io.Discard, "", 0)

// lineLog writes whole lines, from any number of goroutines.
type lineLog struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineLog) printf(format string, args ...any) {
	line := fmt.Appendf(nil, format+"\n", args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Write(line)
}

// maxLogLine is where a line without an end is broken.
const maxLogLine = 256 << 10

// prefixed returns a writer that puts the name before each line and passes the
// line to also. Close writes a last line without an end. It is for one goroutine.
func (l *lineLog) prefixed(name string, also func(name, line string)) io.WriteCloser {
	return &prefixWriter{log: l, name: name, also: also}
}

type prefixWriter struct {
	log  *lineLog
	name string
	also func(name, line string)
	part []byte
}

func (w *prefixWriter) line(line []byte) {
	w.log.printf("%s | %s", w.name, line)
	if w.also != nil {
		w.also(w.name, string(line))
	}
}

func (w *prefixWriter) Write(b []byte) (int, error) {
	w.part = append(w.part, b...)
	rest := w.part
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			break
		}
		w.line(line)
		rest = after
	}
	if len(rest) > maxLogLine {
		w.line(rest)
		rest = nil
	}
	w.part = append(w.part[:0], rest...)
	return len(b), nil
}

func (w *prefixWriter) Close() error {
	if len(w.part) > 0 {
		w.line(w.part)
		w.part = nil
	}
	return nil
}
