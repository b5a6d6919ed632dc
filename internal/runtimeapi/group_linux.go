package runtimeapi

import (
	"os"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C away from a function and makes the kernel
// kill it when this process ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
