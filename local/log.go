package main

import (
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
