package store

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"carillon/audit"
	"carillon/trunk"
)

// A block is several entries of one account in one record. Every write of the API leaves an entry, and a record of its own
// for each would double what the store has to do. A block has the key of its newest entry; its value is a line for each,
// the newest first: the id, a space and the stored form. An entry alone is stored as its form, which begins with a brace.
const (
	// blockSpan is the most time between the entries of a block: who looks for an entry of some time need not look at
	// records that are more than that younger.
	blockSpan = 100 * time.Millisecond
	// maxStoredBlock bounds a block in bytes, unless a single entry is longer.
	maxStoredBlock = maxStoredEntry
)

// entryWrite is one entry on its way.
type entryWrite struct {
	id, account string
	at          time.Time
	op          *pb.RequestOp
}

// blocks returns what writes the entries: blocks, and alone what goes with no other. It sorts them.
func (s *Store) blocks(entries []entryWrite) []*pb.RequestOp {
	slices.SortFunc(entries, func(a, b entryWrite) int {
		return cmp.Or(strings.Compare(a.account, b.account), strings.Compare(a.id, b.id))
	})
	var ops []*pb.RequestOp
	for len(entries) > 0 {
		n, size := 0, 0
		for first := entries[0]; n < len(entries); n++ {
			e := entries[n]
			size += len(e.id) + len(e.op.GetRequestPut().Value) + 2
			if n > 0 && (n == MaxBatch || e.account != first.account || first.at.Sub(e.at) > blockSpan || size > maxStoredBlock) {
				break
			}
		}
		ops = append(ops, block(entries[:n], size))
		entries = entries[n:]
	}
	return ops
}

// block returns what writes entries of one account as one record; size is about how long that is.
func block(entries []entryWrite, size int) *pb.RequestOp {
	first := entries[0].op
	if len(entries) == 1 {
		return first
	}
	value := make([]byte, 0, size)
	for _, e := range entries {
		value = append(append(append(append(value, e.id...), ' '), e.op.GetRequestPut().Value...), '\n')
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: first.GetRequestPut().Key, Value: value}}}
}

// entryOf returns the entry that a record writes, as a block takes it.
func entryOf(e trunk.Entity, op *pb.RequestOp) *entryWrite {
	entry, ok := e.(*audit.Entry)
	if !ok {
		return nil
	}
	return &entryWrite{id: entry.EntityKey().ID, account: entry.Account, at: entry.Time, op: op}
}

// line is a stored entry.
type line struct {
	id    string
	value []byte
}

// lines returns the entries of a record, the newest first.
func lines(id string, value []byte) []line {
	if len(value) == 0 || value[0] == '{' {
		return []line{{id, value}}
	}
	var all []line
	for text := range bytes.Lines(value) {
		id, form, _ := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(" "))
		all = append(all, line{string(id), form})
	}
	return all
}

// countLines returns how many entries a record has.
func countLines(value []byte) int {
	if len(value) == 0 || value[0] == '{' {
		return 1
	}
	return bytes.Count(value, []byte("\n"))
}
