package party

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Usage is what the processes of a system have used.
type Usage struct {
	Processor time.Duration // user and system
	Memory    int64         // octets that are theirs alone, and their part of what is shared
}

// UsageOf adds up processes and their descendants. Threads that ended are not counted: neither system ends any under
// steady load.
func UsageOf(pids []int) (Usage, error) {
	var u Usage
	for _, pid := range withDescendants(pids) {
		helper := !slices.Contains(pids, pid) // it may end at any time
		n, err := processorOf(pid)
		if helper && err != nil {
			continue
		}
		if err != nil {
			return u, err
		}
		u.Processor += n
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if helper && err != nil {
			continue
		}
		if err != nil {
			return u, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		_, rest, _ := strings.Cut(string(text), "\nPss:")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return u, fmt.Errorf("process %d does not tell its memory", pid)
		}
		kilobytes, _ := strconv.ParseInt(fields[0], 10, 64)
		u.Memory += kilobytes << 10
	}
	return u, nil
}

// ProcessorOf is the processor time that processes have taken, without what they have started. Whoever asks for his own must not
// ask for memory meanwhile, which takes milliseconds to look through.
func ProcessorOf(pids []int) (all time.Duration, err error) {
	for _, pid := range pids {
		n, err := processorOf(pid)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

func processorOf(pid int) (all time.Duration, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("process %d is gone", pid)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		all += time.Duration(n)
	}
	return all, nil
}

func withDescendants(pids []int) (all []int) {
	for _, pid := range pids {
		all = append(all, pid)
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, name := range children {
			text, _ := os.ReadFile(name)
			for _, field := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(field); err == nil {
					all = append(all, withDescendants([]int{child})...)
				}
			}
		}
	}
	return all
}
