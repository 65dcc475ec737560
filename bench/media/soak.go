package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"carillon/bench/party"
)

// mostGrowth is how much larger the memory of the last tenth may be than that of the second one.
const mostGrowth = 1.1

// endure has a system relay for long and looks at it ten times.
func (s settings) endure(system system, v variant) error {
	fmt.Printf("%s, %d calls, %v\n", v.name, s.calls, s.soak)
	l, err := newLoad(v, s.place)
	defer l.close()
	if err != nil {
		return err
	}
	defer system.stop()
	if err := system.start(v); err != nil {
		return err
	}
	const looks = 10
	s.length = s.soak / looks
	var memory [looks]int64
	var files [looks]int
	var faults []error
	for look := range looks {
		got, out, err := s.measure(system, l, s.calls)
		if err != nil {
			return err
		}
		now, err := party.UsageOf(system.processes())
		if err != nil {
			return err
		}
		memory[look], files[look] = now.Memory, openFiles(system.processes())
		fmt.Printf("  %8v  %s, %.1f MB, %d files, %s\n", time.Duration(look+1)*s.length, got, float64(now.Memory)/1e6, files[look], out)
		if out.arrived != out.sent || out.doubled > 0 {
			faults = append(faults, fmt.Errorf("%d of %d packets arrived, %d twice", out.arrived, out.sent, out.doubled))
		}
		faults = append(faults, out.fault())
		s.warm = time.Second / frameRate // no gap that a peer would see
	}
	if float64(memory[looks-1]) > mostGrowth*float64(memory[1]) {
		faults = append(faults, fmt.Errorf("memory grew from %d to %d octets", memory[1], memory[looks-1]))
	}
	if files[looks-1] > files[1] {
		faults = append(faults, fmt.Errorf("open files grew from %d to %d", files[1], files[looks-1]))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	fmt.Println("  nothing lost, nothing grown")
	return nil
}

func openFiles(pids []int) (n int) {
	for _, pid := range pids {
		list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
		if err == nil {
			n += len(list)
		}
	}
	return n
}
