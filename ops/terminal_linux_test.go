package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal. The test types by writing to keyboard and reads the
// screen from it; the program gets the other file.
func terminal(t *testing.T) (keyboard, program *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there is no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there is no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return keyboard, program
}

// echoes fails unless the terminal shows what is typed.
func echoes(t *testing.T, program *os.File) {
	t.Helper()
	if state, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS); err != nil || state.Lflag&unix.ECHO == 0 {
		t.Errorf("want a terminal that echoes again, got %v, %v", state, err)
	}
}

// A typist types an answer after each question and keeps what the screen shows.
type typist struct {
	t        *testing.T
	keyboard *os.File
	screen   bytes.Buffer
	read     int // bytes of the screen before the next question
}

func (y *typist) answer(question, keys string) {
	y.t.Helper()
	chunk := make([]byte, 1024)
	for !strings.Contains(y.screen.String()[y.read:], question) {
		n, err := y.keyboard.Read(chunk)
		if err != nil {
			y.t.Fatalf("want %q on the screen, got %v\n%s", question, err, y.screen.Bytes())
		}
		y.screen.Write(chunk[:n])
	}
	y.read = y.screen.Len()
	if _, err := y.keyboard.WriteString(keys); err != nil {
		y.t.Fatal(err)
	}
}

// typeParams runs params in a session of its own, as a shell in a window would.
func typeParams(t *testing.T, w *world) (*typist, *os.File, *exec.Cmd) {
	t.Helper()
	keyboard, program := terminal(t)
	cmd := process(t, []string{"AWS_ENDPOINT_URL=" + w.moto, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}, "params", "-prefix", "/typed")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	y := &typist{t: t, keyboard: keyboard}
	y.answer("API key: ", "the-key\r")
	return y, program, cmd
}

func testTerminal(t *testing.T, w *world) {
	t.Run("does not show the secret", func(t *testing.T) {
		y, program, cmd := typeParams(t, w)
		y.answer("API secret (not shown): ", "the-secret\r")
		y.answer("Client type", "\r")
		if err := cmd.Wait(); err != nil {
			t.Errorf("want success, got %v\n%s", err, y.screen.Bytes())
		}
		if screen := y.screen.String(); strings.Contains(screen, "the-secret") || !strings.Contains(screen, "the-key") {
			t.Errorf("want the key on the screen and not the secret, got\n%s", screen)
		}
		echoes(t, program)
		if got := w.get(t, "/typed"+apiSecret); got != "SecureString the-secret" {
			t.Errorf("want the secret written, got %s", got)
		}
	})
	t.Run("restores the terminal on Ctrl-C", func(t *testing.T) {
		y, program, cmd := typeParams(t, w)
		y.answer("API secret (not shown): ", "half-a-secr\x03")
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("want status 1, got %v\n%s", err, y.screen.Bytes())
		}
		echoes(t, program)
	})
}
