package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"carillon/trunk"
)

// refuse gives an error of etcd its kind. What etcd said is kept for the log and hidden behind a plain sentence.
func (s *Store) refuse(doing string, err error) error {
	kind, sentence := classify(err)
	if kind == trunk.Unavailable {
		s.stats.unavailable.Add(1)
	}
	if s.embedded != nil {
		if _, down := s.embedded.server(); down != nil && !errors.Is(err, down) {
			err = errors.Join(err, down)
		}
	}
	return fmt.Errorf("%s: %w (%w)", doing, trunk.Errorf(kind, "%s", sentence), err)
}

func isNoRoom(err error) bool {
	_, is := errors.AsType[*noRoomError](err)
	return is
}

func classify(err error) (trunk.Kind, string) {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return trunk.Unavailable, "the store is full"
	case isReserved(err):
		return trunk.Unavailable, "the store is nearly full, and what is left is for operators"
	case isNoRoom(err):
		return trunk.Unavailable, "the store's disk is full"
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return trunk.LimitExceeded, "this is too much for one transaction"
	case errors.Is(err, context.Canceled):
		return trunk.Unavailable, "the store was asked to stop waiting"
	case errors.Is(err, context.DeadlineExceeded):
		return trunk.Unavailable, "the store did not answer in time"
	}
	code := status.Code(err)
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		code = e.Code()
	}
	switch code {
	case codes.Unknown, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Aborted,
		codes.DataLoss, codes.FailedPrecondition, codes.OutOfRange, codes.Unauthenticated, codes.PermissionDenied:
		return trunk.Unavailable, "the store cannot be reached"
	default:
		return trunk.Internal, "the store gave an unexpected answer"
	}
}
