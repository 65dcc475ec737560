package server

import (
	"context"
	"os"

	"carillon/headroom"
)

// startCollector lets --memory-headroom fill before the runtime looks for garbage. Whoever sets GOGC decides for himself.
func (n *Node) startCollector(context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	size := uint64(n.config.MemoryHeadroom)
	if size == 0 {
		size = headroom.Default(headroom.Memory(os.DirFS("/")))
	}
	n.headroom = headroom.Keep(size)
	return nil
}
