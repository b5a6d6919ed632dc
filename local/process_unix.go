//go:build unix && !linux

package main

import (
	"os"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C away from a function.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
