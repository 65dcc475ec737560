package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"carillon/audit"
)

const (
	// MaxTenantPercent is how full in percent of its quota the embedded store's database may be for tenants to write
	// anything but deletes. What is left is for operators, who can then still disable a key, and for deletes. Refused
	// writes are counted in carillon_store_reserved_total. It is fixed.
	MaxTenantPercent = 80
	// mendReserveBelow is how full in percent a database may be with what it needs, for tenants to get room by copying it:
	// so much below MaxTenantPercent that it is not copied for every few writes.
	mendReserveBelow = 72
)

// reserve keeps the last of the database for those who can make room in it.
type reserve struct {
	quota   int64
	logger  *slog.Logger
	refused atomic.Uint64
	told    atomic.Bool // as the log was told
}

// reservedError says that a tenant's write was refused before it was tried.
type reservedError struct{ size, quota int64 }

// Error implements error.
func (e *reservedError) Error() string {
	return fmt.Sprintf("the database has %d MiB of %d MiB, and above %d %% the rest is kept for operators", e.size>>20, e.quota>>20, MaxTenantPercent)
}

func isReserved(err error) bool {
	_, is := errors.AsType[*reservedError](err)
	return is
}

// crowded reports whether a database of that size has reached its reserve.
func (r *reserve) crowded(size int64) bool { return size >= r.quota/100*MaxTenantPercent }

// check returns an error when a tenant must not write into a database of that size.
func (r *reserve) check(size int64) error {
	if !r.crowded(size) {
		if r.told.CompareAndSwap(true, false) {
			r.logger.Info("the store has room for tenants again", "bytes", size, "quota_bytes", r.quota)
		}
		return nil
	}
	r.refused.Add(1)
	if r.told.CompareAndSwap(false, true) {
		r.logger.Error("the store is nearly full: tenants' writes are refused until old revisions, audit entries or records make room; "+
			"operators can still write, so disable the key that fills it and delete what is not needed", "bytes", size, "quota_bytes", r.quota)
	}
	return &reservedError{size, r.quota}
}

// size returns how many bytes the database file has; 0 while no server runs.
func (e *embedded) size() int64 {
	server, err := e.server()
	if err != nil {
		return 0
	}
	return server.etcd.Server.Backend().Size()
}

// reserved returns an error when the transaction is a tenant's and must leave the rest of the database to operators.
func (t *tx) reserved() error {
	e := t.store.embedded
	if e == nil {
		return nil
	}
	size := e.size()
	if e.reserve.crowded(size) {
		e.noteCrowded() // what nobody needs may be making it so large
	}
	if !t.tenants() {
		return nil
	}
	return e.reserve.check(size)
}

// tenants reports whether the transaction is a write of a key that is no operator's, and deletes nothing. The entry that
// it leaves in the audit log tells; what the node itself writes leaves none.
func (t *tx) tenants() bool {
	tenant := false
	for i := range t.records {
		r := &t.records[i]
		if !r.isWritten {
			continue
		}
		if r.entity == nil {
			return false
		}
		if entry, ok := r.entity.(*audit.Entry); ok && !entry.Operator {
			tenant = true
		}
	}
	return tenant
}
