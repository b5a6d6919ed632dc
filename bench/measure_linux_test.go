package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu returns the CPU time that all threads of a process have used.
func cpu(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	// The clock id of another process, computed as in clock_getcpuclockid(3).
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// memory returns a process's resident memory in bytes: the present value and the
// peak since forgetPeak.
func memory(tb testing.TB, pid int) (now, peak int) {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	return now, peak
}

// proportional returns a process's proportional set size in bytes: resident
// memory, with shared pages divided among the processes that share them.
func proportional(tb testing.TB, pid int) int {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Pss:" {
			n, _ := strconv.Atoi(fields[1])
			return n << 10
		}
	}
	return 0
}

// forgetPeak resets the peak that memory returns.
//
// https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
func forgetPeak(tb testing.TB, pid int) {
	tb.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		tb.Fatal(err)
	}
}

// freeze stops a process, as Lambda does between requests, and returns once it
// has stopped.
func freeze(tb testing.TB, pid int) {
	tb.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || !status.Stopped() {
			tb.Fatalf("want process %d stopped, got status %v, error %v", pid, status, err)
		}
		return
	}
}

// thaw resumes a stopped process.
func thaw(tb testing.TB, pid int) {
	tb.Helper()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		tb.Fatal(err)
	}
}

// treeMemory returns the resident memory of a process and all its descendants, in
// bytes.
func treeMemory(tb testing.TB, pid int) int {
	tb.Helper()
	total, _ := memory(tb, pid)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has exited
		}
		// pid (name) state parent ...; the name may contain spaces and parentheses.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			total += treeMemory(tb, child)
		}
	}
	return total
}
