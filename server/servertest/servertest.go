// Package servertest starts whole nodes in tests, on free ports of the loopback interface.
package servertest

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"

	"carillon/config"
	"carillon/server"
)

// Config returns the settings of a trial node that shares a machine with others: every port is chosen by the system,
// and data is a folder of the test's.
func Config(t testing.TB) config.Config {
	t.Helper()
	c := config.Default(true)
	c.Data = t.TempDir()
	c.API, c.SIPUDP, c.SIPTCP, c.SIPTLS, c.DNS, c.Metrics = free, free, free, free, free, free
	c.MediaIP = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	return c
}

const free = config.Listen("127.0.0.1:0")

// Start starts a node with Config as the functions change it, and closes it when the test ends. The node's log is part
// of the test's output when the test is verbose or fails.
func Start(t testing.TB, mutate ...func(*config.Config)) *server.Node {
	t.Helper()
	c := Config(t)
	for _, change := range mutate {
		change(&c)
	}
	if err := c.Check(); err != nil {
		t.Fatalf("settings of the node: %v", err)
	}
	log := slog.New(slog.NewTextHandler(logWriter(t), &slog.HandlerOptions{Level: slog.LevelInfo}))
	n, err := server.Start(t.Context(), c, server.Options{Logger: log})
	if err != nil {
		t.Fatalf("start node: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close node: %v", err)
		}
	})
	return n
}

// logWriter is the test's own log.
func logWriter(t testing.TB) io.Writer { return t.Output() }
