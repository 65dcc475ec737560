package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fence takes from this process's own file descriptors the files below dir, which belong to an etcd server that a fault
// has ended. Its goroutines may have died with its locks held, so it closes nothing itself; but its files are locked
// against the next server, and what is left of it must never write to them again. Each descriptor becomes one of
// /dev/null: closing it instead would let another file get its number, and the dead server write into that. Its locks
// are given back before, as those of a file that is mapped into memory do not go with its descriptor.
func fence(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("fence %s: %w", dir, err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("fence %s: %w", dir, err)
	}
	defer null.Close()
	const own = "/proc/self/fd"
	all, err := os.ReadDir(own)
	if err != nil {
		return fmt.Errorf("fence %s: %w", dir, err)
	}
	var errs []error
	for _, entry := range all {
		target, err := os.Readlink(filepath.Join(own, entry.Name()))
		if err != nil || target != dir && !strings.HasPrefix(target, dir+"/") {
			continue // closed meanwhile, or somebody else's
		}
		fd, err := strconv.Atoi(entry.Name())
		if err == nil {
			// Neither fails in a way that matters: the next server would wait for the lock, and say so.
			_ = syscall.Flock(fd, syscall.LOCK_UN)
			_ = syscall.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &syscall.Flock_t{Type: syscall.F_UNLCK})
			err = syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("fence %s: %w", target, err))
		}
	}
	return errors.Join(errs...)
}
