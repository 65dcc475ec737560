package cdr

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fewPaths is up to how many files are made durable one by one: above it one sync of the file system is cheaper than
// theirs, below it may wait for other programs' data.
const fewPaths = 4

// sameFileSystem reports whether a file can be moved from one folder to the other.
func sameFileSystem(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}

// syncTree makes files below dir, and the folders that lead to them, durable.
func syncTree(dir string, paths []string) error {
	if len(paths) <= fewPaths {
		return syncPaths(dir, paths)
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
