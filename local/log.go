package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"sync"
)

// discardLog drops net/http's messages about callers and functions that left,
// which the server reports itself.
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

// prefixed returns a writer for one goroutine that logs each line with the name
// in front and then passes it to also. Close logs an unfinished last line.
func (l *lineLog) prefixed(name string, also func(name, line string)) io.WriteCloser {
	return &prefixWriter{line: func(line string) {
		l.printf("%s | %s", name, line)
		also(name, line)
	}}
}

type prefixWriter struct {
	line func(string)
	part bytes.Buffer // of a line without its end
}

func (w *prefixWriter) Write(b []byte) (int, error) {
	for chunk := range bytes.Lines(b) {
		whole, ended := bytes.CutSuffix(chunk, []byte("\n"))
		w.part.Write(whole)
		if ended {
			w.line(w.part.String())
			w.part.Reset()
		}
	}
	return len(b), nil
}

func (w *prefixWriter) Close() error {
	if w.part.Len() > 0 {
		w.line(w.part.String())
	}
	return nil
}
