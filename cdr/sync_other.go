//go:build !linux

package cdr

// syncTree makes files below dir, and the folders that lead to them, durable.
func syncTree(dir string, paths []string) error { return syncPaths(dir, paths) }
