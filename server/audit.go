package server

import (
	"context"
	"log/slog"
	"time"

	"carillon/audit"
	"carillon/clock"
)

// trimEvery is how often the audit log is trimmed; the first time is at the start. In between it may hold more than
// --audit-entries, or than audit.DefaultBytesPerAccount.
const trimEvery = 10 * time.Minute

// auditTrimmer is a store that can end entries of the audit log.
type auditTrimmer interface {
	TrimAudit(ctx context.Context, now time.Time, r audit.Retention) (audit.Dropped, error)
}

func (n *Node) startTrimming(context.Context) error {
	r := audit.Retention{Keep: n.config.AuditKeep, PerAccount: n.config.AuditEntries}
	n.running.Go(func() { trimAudit(n.background, n.store, r, n.clock, n.log.With("plane", "audit")) })
	return nil
}

// trimAudit holds the audit log to its bounds until ctx ends. A pass that fails is made up for by the next.
func trimAudit(ctx context.Context, s auditTrimmer, r audit.Retention, c clock.Clock, log *slog.Logger) {
	for {
		dropped, err := s.TrimAudit(ctx, c.Now(), r)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("trim audit log", "error", err)
		case dropped != audit.Dropped{}:
			log.Info("audit log trimmed", "aged", dropped.Aged, "crowded", dropped.Crowded)
		}
		due := make(chan struct{})
		timer := c.AfterFunc(trimEvery, func() { close(due) })
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-due:
		}
	}
}
