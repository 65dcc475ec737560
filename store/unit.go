package store

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// unit is what holds or fails together in a batch.
type unit struct {
	members    []*pending
	conditions []condition
	writes     []write
	bytes      int
}

// size is what counts of u against MaxBatchOps.
func (u *unit) size() int { return max(len(u.conditions), len(u.writes)) }

func (u *unit) request() *pb.TxnRequest {
	r := &pb.TxnRequest{Compare: make([]*pb.Compare, len(u.conditions)), Success: make([]*pb.RequestOp, len(u.writes))}
	for i, c := range u.conditions {
		r.Compare[i] = c.compare()
	}
	for i, w := range u.writes {
		r.Success[i] = w.op
	}
	return r
}

func (c condition) compare() *pb.Compare {
	return &pb.Compare{
		Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: []byte(c.key),
		TargetUnion: &pb.Compare_ModRevision{ModRevision: c.modified},
	}
}

// join adds what p does after the others of the unit. Of a record that several write only the last state is written:
// they see each other's, and the store has room for one.
func (u *unit) join(p *pending) {
	if u.members == nil { // nearly always the only one
		u.members, u.conditions, u.writes, u.bytes = []*pending{p}, p.conditions, p.writes, p.bytes
		return
	}
	if len(u.members) == 1 { // what the first brought stays as it is: it may be sent again in another batch
		u.conditions, u.writes = append([]condition(nil), u.conditions...), append([]write(nil), u.writes...)
	}
	u.members = append(u.members, p)
	u.bytes += p.bytes
	for _, c := range p.conditions {
		if !c.left {
			u.conditions = append(u.conditions, c)
		}
	}
	for _, w := range p.writes {
		if p.sees(w.key) {
			u.drop(w.key)
		}
		u.writes = append(u.writes, w)
	}
}

// drop takes out the write of a record, which is among the last.
func (u *unit) drop(key string) {
	for i := len(u.writes) - 1; i >= 0; i-- {
		if u.writes[i].key == key {
			u.writes = append(u.writes[:i], u.writes[i+1:]...)
			return
		}
	}
}

// sees reports whether p has seen the record as the transaction before it leaves it.
func (p *pending) sees(key string) bool {
	for _, c := range p.conditions {
		if c.left && c.key == key {
			return true
		}
	}
	return false
}

// draft is a batch that is being put together.
//
// etcd judges the conditions of all units by the state before the batch. So no two units may touch the same record
// where one of them writes it: each would hold though the other changed what it had read.
type draft struct {
	units       []*unit
	members     int
	size, bytes int  // of the largest unit; of all
	most, limit int  // bounds of the ops and bytes
	nested      bool // it goes with its units
	ops         int  // that the store counts of it as it was sent
	touched     map[string]mark
	passed      bool // something in the queue touches a record of it
}

// mark says who of a draft touches a record.
type mark struct {
	unit  *unit    // nil for several, which all only read it
	wrote *pending // the last that writes it; nil when it is only read
}

// request returns d with its units as nested transactions.
func (d *draft) request() *pb.TxnRequest {
	d.ops = len(d.units) + d.size
	r := &pb.TxnRequest{Success: make([]*pb.RequestOp, len(d.units))}
	for i, u := range d.units {
		r.Success[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: u.request()}}
	}
	return r
}

// flat returns d as one transaction that holds if all of its units do, with each condition once and the entries of the audit
// log in blocks. It is nil where d goes with its units, has more writes or conditions than the store takes, or has two
// conditions that cannot both hold.
func (d *draft) flat(s *Store) *pb.TxnRequest {
	if len(d.units) == 1 {
		d.ops = d.size
		return d.units[0].request()
	}
	conditions, writes := 0, 0
	for _, u := range d.units {
		conditions, writes = conditions+len(u.conditions), writes+len(u.writes)
	}
	if d.nested {
		return nil
	}
	r := &pb.TxnRequest{Compare: make([]*pb.Compare, 0, conditions), Success: make([]*pb.RequestOp, 0, writes)}
	asked := make(map[string]int64, conditions)
	var entries []entryWrite
	for _, u := range d.units {
		for _, c := range u.conditions {
			modified, again := asked[c.key]
			switch {
			case !again:
				asked[c.key] = c.modified
				r.Compare = append(r.Compare, c.compare())
			case modified != c.modified:
				return nil
			}
		}
		for _, w := range u.writes {
			if w.entry == nil {
				r.Success = append(r.Success, w.op)
			} else {
				entries = append(entries, *w.entry)
			}
		}
	}
	r.Success = append(r.Success, s.blocks(entries)...)
	if d.ops = max(len(r.Compare), len(r.Success)); d.ops > d.most {
		return nil
	}
	return r
}

// meets reports whether p touches what d writes, or writes what it touches.
func (d *draft) meets(p *pending) bool {
	for _, c := range p.conditions {
		if d.touched[c.key].wrote != nil {
			return true
		}
	}
	for _, w := range p.writes {
		if _, touched := d.touched[w.key]; touched {
			return true
		}
	}
	return false
}

// place takes p into the draft. joins is false for what would not go together with what is there, fits for what is too
// much; then p is not taken.
func (d *draft) place(p *pending) (fits, joins bool) {
	var own *unit
	if p.after != nil {
		own = p.after.unit
	}
	if p.after != nil && own == nil || d.collides(p, own) {
		return true, false
	}
	units, size := len(d.units), max(len(p.conditions), len(p.writes))
	if own == nil {
		own, units = &unit{}, units+1
	} else {
		size = max(len(own.conditions)+len(p.conditions), len(own.writes)+len(p.writes))
	}
	size = max(size, d.size)
	if d.members > 0 && (d.members >= MaxBatch || units+size > d.most || d.bytes+p.bytes > d.limit || p.alone || d.units[0].members[0].alone) {
		return false, true
	}
	if units > len(d.units) {
		d.units = append(d.units, own)
	}
	own.join(p)
	p.unit = own
	d.members, d.size, d.bytes = d.members+1, size, d.bytes+p.bytes
	d.touch(p, own)
	return true, true
}

// collides reports whether p must not be in the batch, except in the unit own where that is not nil.
func (d *draft) collides(p *pending, own *unit) bool {
	for _, c := range p.conditions {
		m := d.touched[c.key]
		if c.left && m.wrote != p.after || !c.left && m.wrote != nil {
			return true
		}
	}
	for _, w := range p.writes {
		m, touched := d.touched[w.key]
		if touched && (own == nil || m.unit != own || m.wrote != nil && !p.sees(w.key)) {
			return true
		}
	}
	return false
}

func (d *draft) touch(p *pending, own *unit) {
	for _, c := range p.conditions {
		if m, touched := d.touched[c.key]; !touched {
			d.touched[c.key] = mark{unit: own}
		} else if m.unit != own {
			d.touched[c.key] = mark{} // only read, by several
		}
	}
	for _, w := range p.writes {
		d.touched[w.key] = mark{unit: own, wrote: p}
	}
}
