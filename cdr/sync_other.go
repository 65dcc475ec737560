//go:build !linux

package cdr

// sameFileSystem is not known here.
func sameFileSystem(string, string) bool { return false }

// syncTree makes files below dir, and the folders that lead to them, durable.
func syncTree(dir string, paths []string) error { return syncPaths(dir, paths) }

// linkFile is not known here.
func linkFile(string, []byte) error { return errNoLink }
