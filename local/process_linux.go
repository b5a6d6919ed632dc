package main

import (
	"os"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C away from a function and lets the kernel
// end it with this process, however that ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
