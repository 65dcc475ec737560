package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// mendTimeout bounds making room in a database: it is copied.
	mendTimeout = 10 * time.Minute
	// mendPause is how long a database in which no room could be made is left alone.
	mendPause = 30 * time.Second
	// mendBelow is how full in percent of its quota a database may be with what it needs, for operators to get room by
	// copying it.
	mendBelow = 90
)

// mend makes room in a database that has reached its reserve. If it has reached its quota it lets etcd write again, which
// that does not do by itself: the alarm it raises stays until somebody takes it away. It returns false when that should be tried again after a
// while: records can still be deleted.
func (e *embedded) mend(ctx context.Context, s *server) bool {
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	err := e.makeRoom(ctx, s)
	if err != nil && ctx.Err() == nil {
		e.settings.logger.Error("the store is nearly full, and no room could be made", "error", err)
	}
	return err == nil
}

func (e *embedded) noteCrowded() {
	select {
	case e.crowded <- struct{}{}:
	default: // it is known
	}
}

func (e *embedded) makeRoom(ctx context.Context, s *server) error {
	alarms, err := s.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("list alarms: %w", err)
	}
	below, size := int64(mendBelow), e.size()
	full := slices.DeleteFunc(alarms.Alarms, func(a *pb.AlarmMember) bool { return a.Alarm != pb.AlarmType_NOSPACE })
	if len(full) == 0 {
		if !e.reserve.crowded(size) {
			return nil
		}
		below = mendReserveBelow
	}
	e.settings.logger.Warn("the store is nearly full: old revisions are removed from it", "bytes", size, "quota_bytes", e.settings.quota)
	before, err := s.client.Status(ctx, "")
	if err != nil {
		return fmt.Errorf("read the size: %w", err)
	}
	_, err = s.client.Compact(ctx, before.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact: %w", err)
	}
	after, err := s.freed(ctx, e.settings.quota/100*below)
	if err != nil {
		return err
	}
	if after.DbSizeInUse > e.settings.quota/100*below {
		return fmt.Errorf("%d of %d bytes are in use: delete what is not needed", after.DbSizeInUse, e.settings.quota)
	}
	if free, err := e.room.free(); err == nil && free < after.DbSizeInUse+max(e.settings.reserve, 0) {
		return fmt.Errorf("a copy of the database needs %d bytes, and %d are free", after.DbSizeInUse, free)
	}
	// The client's call for it wants a gRPC server.
	if err := s.etcd.Server.Backend().Defrag(); err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	for _, a := range full {
		if _, err := s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return fmt.Errorf("disarm: %w", err)
		}
	}
	e.mended.Add(1)
	e.settings.logger.Info("the store has room again", "bytes_before", before.DbSize, "bytes_in_use", after.DbSizeInUse)
	return nil
}

// touchedKey is written to for nothing but to make the database begin a transaction.
const touchedKey = "carillon-store/touched"

// freed returns the size after a compaction. What was compacted counts as free once the transaction that says so is on
// disk, and another has begun while nobody reads what was before.
func (s *server) freed(ctx context.Context, enough int64) (*clientv3.StatusResponse, error) {
	const tries = 5
	for try := 1; ; try++ {
		s.etcd.Server.Backend().ForceCommit()
		size, err := s.client.Status(ctx, "")
		if err != nil {
			return nil, fmt.Errorf("read the size: %w", err)
		}
		if size.DbSizeInUse <= enough || try == tries {
			return size, nil
		}
		// A full one refuses it, and has to do with what others write and delete.
		if _, err := s.client.Put(ctx, touchedKey, ""); err != nil && !errors.Is(err, rpctypes.ErrNoSpace) {
			return nil, fmt.Errorf("touch: %w", err)
		}
	}
}
