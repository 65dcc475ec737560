package cdr

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

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

// linkFile makes a file that has no name yet and gives it one once it is complete: one folder is changed, where moving a
// finished file changes two. It returns errNoLink where the file system or the kernel cannot do that, os.ErrNotExist
// without the folder and os.ErrExist when there is such a file.
func linkFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	fd, err := retried(func() (int, error) {
		return unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o640)
	})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return errNoLink
	case err != nil:
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	for left := content; len(left) > 0 && err == nil; {
		var n int
		n, err = retried(func() (int, error) { return unix.Write(fd, left) })
		left = left[max(n, 0):]
	}
	if err == nil {
		err = link(fd, path)
	}
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// link names the file. By its descriptor alone only the process that opened it may, and older kernels want a privilege
// for that; by its entry in /proc everybody may who sees one.
func link(fd int, path string) error {
	err := unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
		err = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		return errNoLink
	}
	return err
}

// retried repeats a system call that a signal interrupted.
func retried(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
