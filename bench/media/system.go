package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The processors of the load and of what is measured, and how much both go before other work.
const (
	loadProcessor   = 0
	systemProcessor = 1
	priority        = -20
	slice           = 100_000 // nanoseconds
)

// system is what is measured.
type system interface {
	name() string
	// start starts it anew for calls of a variant.
	start(v variant) error
	// call sets up the n-th call of a load, and returns what each end was told of the other.
	call(l *load, n int) ([2]far, error)
	stop()
	processes() []int
}

// underFlag makes this program run another one on the systems' processor, bothFlag on that and the load's.
const (
	underFlag = "-on-the-processor-of-systems"
	bothFlag  = "-on-both-processors"
)

// runUnder becomes the program that args name, on some processors.
func runUnder(args []string, processors ...int) error {
	runtime.LockOSThread() // what is set is the thread's that becomes the program
	if err := pin(0, processors...); err != nil {
		return err
	}
	hasten()
	allowFiles()
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return unix.Exec(program, args, os.Environ())
}

// hasten puts the calling thread before the machine's other work, as far as that is allowed: with priority, and with
// slices of time so short that its turn comes soon.
func hasten() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: priority, Runtime: slice}, 0)
}

// manyFiles are enough for the sockets of 20,000 calls, of which a relay has four for each.
const manyFiles = 100_000

// allowFiles lets this process and what it becomes open files as far as that is allowed.
func allowFiles() {
	limit := unix.Rlimit{Cur: manyFiles, Max: manyFiles}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) == nil || unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	limit.Cur = limit.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// pin keeps a thread on some processors.
func pin(thread int, processors ...int) error {
	var set unix.CPUSet
	for _, n := range processors {
		set.Set(n)
	}
	if err := unix.SchedSetaffinity(thread, &set); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stay on processors %v: %w", processors, err)
	}
	return nil
}

// stay keeps every thread of this process on the load's processor.
func stay() error {
	runtime.GOMAXPROCS(4) // for what the thread that sends must not wait for
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if err := pin(id, loadProcessor); err != nil {
			return err
		}
	}
	return nil
}

// launch starts a program on the systems' processors; what it says goes to a file.
func (p place) launch(log string, program string, args ...string) (*exec.Cmd, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	first, err := p.under()
	if err != nil {
		return nil, err
	}
	all := append(append(first, program), args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return cmd, nil
}

func end(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
}
