package store

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
)

// DefaultReserve is how much of the data directory's file system the embedded store leaves free. Nothing is written
// below that, so that etcd, which does not survive a write that finds no room, always has enough for the next part of its
// log (64 MB, taken in advance) and for what its database has in memory. Refused writes are counted in
// carillon_store_no_room_total.
const DefaultReserve = 128 << 20

// room watches over what is left of a file system.
type room struct {
	dir     string
	reserve int64 // below 0 nothing is watched
	logger  *slog.Logger
	refused atomic.Uint64
	full    atomic.Bool // as the log was told
}

// noRoomError says that a write was refused before it was tried.
type noRoomError struct{ free, reserve int64 }

// Error implements error.
func (e *noRoomError) Error() string {
	return fmt.Sprintf("%d MiB are free on the file system of the data directory, and the store leaves %d MiB free", e.free>>20, e.reserve>>20)
}

// check returns an error when a write must not be tried.
func (r *room) check() error {
	if r.reserve < 0 {
		return nil
	}
	free, err := r.free()
	if err != nil {
		return nil // whatever that is, the write itself will say
	}
	if free >= r.reserve {
		if r.full.CompareAndSwap(true, false) {
			r.logger.Info("there is room on the disk again, writes go on", "free_bytes", free)
		}
		return nil
	}
	r.refused.Add(1)
	refusal := &noRoomError{free, r.reserve}
	if r.full.CompareAndSwap(false, true) {
		r.logger.Error("the disk is full: writes are refused until there is room again", "error", refusal)
	}
	return refusal
}

// free returns how many bytes this process may still write.
func (r *room) free() (int64, error) {
	var fs syscall.Statfs_t
	err := syscall.Statfs(r.dir, &fs)
	return int64(fs.Bavail) * int64(fs.Bsize), err
}
