package server

import (
	"context"

	"carillon/lab"
	"carillon/trunk"
)

// startLab runs the lab carrier of a trial node and makes it known like any other carrier. Its port changes with every
// start, so the carrier is written each time.
func (n *Node) startLab(ctx context.Context) error {
	if !n.config.Dev {
		return nil
	}
	l, err := lab.Start(lab.Config{Logger: n.log.With("plane", "lab"), Clock: n.clock, Rand: n.random})
	if err != nil {
		return err
	}
	n.lab = l
	carrier := l.Carrier()
	revision, err := n.store.Update(ctx, func(tx trunk.Tx) error {
		tx.Put(&carrier)
		return nil
	})
	if err != nil {
		return err
	}
	return n.directory.Await(ctx, revision)
}

// Lab returns the lab carrier of a trial node, nil on others.
func (n *Node) Lab() *lab.Lab { return n.lab }
