package server

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"carillon/clock"
	"carillon/trunk"
)

// healthEvery is how often the last OPTIONS of connectors are written to the store: customers send one every 30 s or
// so, and each node's need not be an fsync of its own.
const healthEvery = 5 * time.Second

// maxHealth bounds the connectors whose OPTIONS wait to be written; those above it wait for the next OPTIONS.
const maxHealth = 10000

// health remembers the last OPTIONS of each connector until it is written to the store, where every node's API reads it.
type health struct {
	store trunk.Store
	clock clock.Clock
	log   *slog.Logger

	mu   sync.Mutex
	seen map[string]trunk.Health
	wake chan struct{}
}

func newHealth(s trunk.Store, c clock.Clock, log *slog.Logger) *health {
	return &health{store: s, clock: c, log: log, seen: make(map[string]trunk.Health), wake: make(chan struct{}, 1)}
}

// Seen implements sbc.Health.
func (h *health) Seen(connectorID string, source netip.Addr, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.seen[connectorID]; !known && len(h.seen) >= maxHealth {
		return
	}
	h.seen[connectorID] = trunk.Health{ConnectorID: connectorID, Source: source, Time: at.UTC().Truncate(time.Millisecond)}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run writes what was seen until ctx ends. The first OPTIONS after a pause is written at once.
func (h *health) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		h.write(ctx)
		pause := make(chan struct{})
		timer := h.clock.AfterFunc(healthEvery, func() { close(pause) })
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-pause:
		}
	}
}

func (h *health) write(ctx context.Context) {
	h.mu.Lock()
	seen := h.seen
	h.seen = make(map[string]trunk.Health)
	h.mu.Unlock()
	for _, s := range seen {
		_, err := h.store.Update(ctx, func(tx trunk.Tx) error {
			// A connector that was deleted meanwhile must not leave its health behind.
			if _, found, err := trunk.Get[*trunk.Connector](tx, trunk.EntityKey{Kind: trunk.KindConnector, ID: s.ConnectorID}); err != nil || !found {
				return err
			}
			tx.Put(&s)
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			h.log.Warn("write termination health", "connector", s.ConnectorID, "error", err)
		}
	}
}
