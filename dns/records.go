package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// transport is one way to take SIP and how RFC 3263 §4.1 names it.
type transport struct {
	label   string // SRV labels
	proto   string // the second of them, an empty non-terminal
	service string // NAPTR
	port    uint16
	clear   bool
}

// transports lists what a host offers, preferred first. This is the one place that decides what an encrypted connector
// publishes.
func transports(h *HostInfo) []transport {
	all := [...]transport{
		{"_sips._tcp", "_tcp", "SIPS+D2T", h.Ports.TLS, false},
		{"_sip._tcp", "_tcp", "SIP+D2T", h.Ports.TCP, true},
		{"_sip._udp", "_udp", "SIP+D2U", h.Ports.UDP, true},
	}
	offered := make([]transport, 0, len(all))
	for _, t := range all {
		if t.port != 0 && !(t.clear && h.RequireEncryption) {
			offered = append(offered, t)
		}
	}
	return offered
}

// records fills in the answer section and says whether the name exists, with or without records of the type.
func (q *query) records(zone *apex, question *dns.Question) (exists bool) {
	owner, qtype := question.Name, question.Qtype
	if q.name == zone.name {
		exists = true
		q.apexRecords(zone, question)
	}
	if strings.HasPrefix(q.name, "_") {
		found := q.serviceRecords(owner, qtype)
		return exists || found
	}
	if strings.Contains(q.name, `\`) { // an octet no host name has: nothing to ask the zone for
		return exists
	}
	if addrs, ok := q.s.nameServers[q.name]; ok {
		exists = true
		q.addresses(owner, qtype, addrs, wireTTL(DefaultApexTTL))
	}
	if h, ok := q.s.cfg.Zone.Host(q.name); ok {
		exists = true
		q.hostRecords(owner, qtype, &h)
	}
	exists = exists || q.s.cfg.Zone.Below(q.name) || q.s.aboveNameServer(q.name)
	if exists && qtype == dns.TypeANY && len(q.resp.Answer) == 0 {
		q.any(owner)
	}
	return exists
}

// aboveNameServer says whether a name lies between a domain and one of its name servers.
func (s *Server) aboveNameServer(name string) bool {
	for ns := range s.nameServers {
		if under(ns, name) {
			return true
		}
	}
	return false
}

func (q *query) apexRecords(zone *apex, question *dns.Question) {
	switch question.Qtype {
	case dns.TypeSOA:
		soa := q.s.soa(zone)
		soa.Hdr.Name = question.Name
		q.resp.Answer = append(q.resp.Answer, soa)
	case dns.TypeNS:
		q.resp.Answer = append(q.resp.Answer, zone.ns...)
		for _, ns := range q.s.cfg.NameServers {
			if name := canonical(ns.Name); under(name, zone.name) {
				for _, a := range ns.Addrs {
					q.resp.Extra = append(q.resp.Extra, address(dns.Fqdn(name), a, wireTTL(DefaultApexTTL)))
				}
			}
		}
	}
}

func (q *query) hostRecords(owner string, qtype uint16, h *HostInfo) {
	ttl := hostTTL(h)
	switch qtype {
	case dns.TypeA, dns.TypeAAAA:
		q.addresses(owner, qtype, h.Addrs, ttl)
	case dns.TypeNAPTR:
		for i, t := range transports(h) {
			q.resp.Answer = append(q.resp.Answer, &dns.NAPTR{
				Hdr: header(owner, dns.TypeNAPTR, ttl), Order: uint16(10 * (i + 1)), Preference: 10,
				Flags: "s", Service: t.service, Replacement: t.label + "." + owner,
			})
		}
	}
}

func hostTTL(h *HostInfo) uint32 {
	if h.TTL == 0 {
		return wireTTL(DefaultTTL)
	}
	return wireTTL(h.TTL)
}

// serviceRecords answers for names below a host: SRV owners and the empty labels above them.
func (q *query) serviceRecords(owner string, qtype uint16) (exists bool) {
	// The host starts at the first label without underscore.
	host, cut := q.name, 0
	for strings.HasPrefix(host, "_") {
		i := strings.IndexByte(host, '.')
		if i < 0 {
			return false
		}
		host, cut = host[i+1:], cut+i+1
	}
	h, ok := q.s.cfg.Zone.Host(host)
	if !ok || strings.Contains(host, `\`) {
		return false
	}
	labels := q.name[:cut-1]
	for _, t := range transports(&h) {
		switch labels {
		case t.proto:
			exists = true
		case t.label:
			exists = true
			if qtype == dns.TypeSRV {
				q.serviceAnswer(owner, owner[cut:], &h, t.port)
			}
		}
	}
	if exists && qtype == dns.TypeANY {
		q.any(owner)
	}
	return exists
}

// serviceAnswer is one SRV record to the host itself: its certificate carries that name, and the address records spread
// the load. Over TCP the addresses come along; over UDP they would break the factor.
func (q *query) serviceAnswer(owner, target string, h *HostInfo, port uint16) {
	ttl := hostTTL(h)
	q.factor = true
	q.resp.Answer = append(q.resp.Answer, &dns.SRV{
		Hdr: header(owner, dns.TypeSRV, ttl), Priority: 10, Weight: 10, Port: port, Target: target,
	})
	if q.stream {
		for _, a := range h.Addrs[:min(len(h.Addrs), maxHostAddrs)] {
			q.resp.Extra = append(q.resp.Extra, address(target, a, ttl))
		}
	}
}

// addresses answers A or AAAA. Each answer starts at another address, so that clients which take the first one spread
// over the nodes; over UDP it holds as many as the factor has room for, and the next answer holds others.
func (q *query) addresses(owner string, qtype uint16, addrs []netip.Addr, ttl uint32) {
	if qtype != dns.TypeA && qtype != dns.TypeAAAA {
		return
	}
	q.factor = true
	var family []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() == (qtype == dns.TypeA) {
			family = append(family, a)
		}
	}
	room := maxHostAddrs
	if !q.stream {
		room = q.room(qtype)
	}
	if len(family) == 0 {
		return
	}
	first := int(q.s.rotate.Add(1) % uint32(len(family)))
	for i := range min(room, len(family)) {
		q.resp.Answer = append(q.resp.Answer, address(owner, family[(first+i)%len(family)], ttl))
	}
}

// room is how many address records fit beside the question into maxFactor times the query, at least one: a single one
// that does not fit is then truncated as a whole.
func (q *query) room(qtype uint16) int {
	const overhead = 12 + 4 // header; question type and class
	const record = 2 + 10   // owner as a pointer; type, class, TTL, length
	used := overhead + len(q.name) + 2
	if q.opt != nil {
		used += 11
	}
	size := record + 4
	if qtype == dns.TypeAAAA {
		size = record + 16
	}
	return max(1, min((min(maxFactor*q.size, q.limit)-used)/size, maxHostAddrs))
}

func address(owner string, a netip.Addr, ttl uint32) dns.RR {
	a = a.Unmap()
	if a.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}
}

// any answers ANY with one small record (RFC 8482 §4.2).
func (q *query) any(owner string) {
	q.resp.Answer = append(q.resp.Answer, &dns.HINFO{Hdr: header(owner, dns.TypeHINFO, 3600), Cpu: "RFC8482"})
}
