package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Answer builds the response to one message and appends it to dst, which may be reused. It gives nil where nothing may be
// sent: for a response, for what is no DNS message, and over the rate limit. stream says that it came over TCP, which
// proves the source, so neither rate nor factor is limited.
func (s *Server) Answer(dst, packet []byte, source netip.Addr, stream bool) []byte {
	if stream {
		s.stats.tcp.Add(1)
	} else {
		s.stats.udp.Add(1)
	}
	q := query{s: s, size: len(packet), source: source, stream: stream, limit: dns.MinMsgSize}
	if !q.read(packet) {
		s.stats.dropped.Add(1)
		return nil
	}
	if q.resp.Rcode == dns.RcodeSuccess {
		q.answer()
	}
	return q.write(dst)
}

// query is one message on its way to its response.
type query struct {
	s      *Server
	size   int
	source netip.Addr
	stream bool
	limit  int // octets the response may have
	resp   dns.Msg
	opt    *dns.OPT
	name   string // canonical name asked for, "" before it is known
	factor bool   // the response is held to maxFactor
}

// read parses the message and decides what can be decided without a zone; false: send nothing.
func (q *query) read(packet []byte) bool {
	const headerLen = 12
	if len(packet) < headerLen || packet[2]&0x80 != 0 { // two servers answering each other's answers never stop
		return false
	}
	var req dns.Msg
	err := req.Unpack(packet)
	q.resp.Id = uint16(packet[0])<<8 | uint16(packet[1])
	q.resp.Response = true
	q.resp.Opcode = int(packet[2]>>3) & 0xf
	q.resp.RecursionDesired = packet[2]&1 != 0
	q.resp.Compress = true
	switch {
	case q.resp.Opcode != dns.OpcodeQuery:
		q.resp.Rcode = dns.RcodeNotImplemented
		return true
	case err != nil, len(req.Question) != 1, len(req.Answer)+len(req.Ns) != 0, !q.edns(req.Extra):
		q.resp.Rcode = dns.RcodeFormatError
		return true
	}
	q.resp.Question = req.Question // as written: resolvers check the case they chose (0x20)
	if q.opt != nil && q.opt.Version() != 0 {
		q.resp.Rcode = dns.RcodeBadVers // RFC 6891 §6.1.3
	}
	return true
}

// edns takes the size a client offers; false: more than one OPT (RFC 6891 §6.1.1).
func (q *query) edns(extra []dns.RR) bool {
	for _, rr := range extra {
		opt, ok := rr.(*dns.OPT)
		if !ok {
			continue // a TSIG or SIG(0) we have no key for changes nothing about public data
		}
		if q.opt != nil {
			return false
		}
		q.opt = opt
		q.limit = max(dns.MinMsgSize, min(int(opt.UDPSize()), maxUDP))
	}
	return true
}

// answer finds the zone and the records.
func (q *query) answer() {
	question := &q.resp.Question[0]
	switch question.Qtype {
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB:
		q.resp.Rcode = dns.RcodeRefused
		return
	}
	q.name = canonical(question.Name)
	zone := q.s.zoneOf(q.name)
	if zone == nil || question.Qclass != dns.ClassINET {
		q.resp.Rcode = dns.RcodeRefused
		return
	}
	q.resp.Authoritative = true
	exists := q.records(zone, question)
	if len(q.resp.Answer) > 0 {
		return
	}
	if !exists {
		q.resp.Rcode = dns.RcodeNameError
	}
	soa := q.s.soa(zone)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl) // RFC 2308 §3
	q.resp.Ns = []dns.RR{soa}
}

// zoneOf finds the longest of our domains that holds a name.
func (s *Server) zoneOf(name string) *apex {
	var best *apex
	for i := range s.zones {
		z := &s.zones[i]
		if under(name, z.name) && (best == nil || len(z.name) > len(best.name)) {
			best = z
		}
	}
	return best
}

func under(name, zone string) bool {
	return strings.HasSuffix(name, zone) && (len(name) == len(zone) || name[len(name)-len(zone)-1] == '.')
}

func (s *Server) soa(z *apex) *dns.SOA {
	soa := z.soa
	soa.Serial = 1
	if s.cfg.Serial != nil {
		soa.Serial = s.cfg.Serial()
	}
	return &soa
}

// write limits the rate, fits the response into its bounds and packs it.
func (q *query) write(dst []byte) []byte {
	s := q.s
	// A loopback source cannot be forged from outside, and the load tests and resolvers of this machine come from there.
	if !q.stream && !q.source.IsLoopback() && !s.limit.allow(q.key(), s.clock.Now()) {
		if !s.limit.slips() {
			s.stats.limited.Add(1)
			return nil
		}
		s.stats.slipped.Add(1)
		q.truncate()
	}
	q.count()
	if q.opt != nil {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(maxUDP)
		q.resp.Extra = append(q.resp.Extra, opt)
	}
	limit := q.limit
	if q.stream {
		limit = maxTCP
	} else if q.factor {
		limit = min(limit, maxFactor*q.size)
	}
	out, err := q.resp.PackBuffer(dst[len(dst):cap(dst)])
	if err == nil && len(out) > limit {
		s.stats.truncated.Add(1)
		q.truncate()
		out, err = q.resp.PackBuffer(dst[len(dst):cap(dst)])
	}
	if err != nil {
		s.log.Error("pack DNS answer", "name", q.name, "error", err)
		return nil
	}
	return append(dst, out...)
}

// truncate leaves nothing but the question and the request to come back over TCP. A shortened set would be cached as if
// it were whole.
func (q *query) truncate() {
	q.resp.Truncated = true
	q.resp.Answer, q.resp.Ns = nil, nil
	extra := q.resp.Extra
	q.resp.Extra = nil
	for _, rr := range extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			q.resp.Extra = []dns.RR{rr}
		}
	}
}

func (q *query) key() answerKey {
	k := answerKey{network: network(q.source), class: q.resp.Rcode}
	if q.resp.Rcode == dns.RcodeSuccess && q.name != "" {
		k.name, k.qtype = q.name, q.resp.Question[0].Qtype
	}
	return k
}

func (q *query) count() {
	c := &q.s.stats
	switch {
	case q.resp.Rcode == dns.RcodeRefused:
		c.refused.Add(1)
	case q.resp.Rcode == dns.RcodeNameError:
		c.denied.Add(1)
	case q.resp.Rcode != dns.RcodeSuccess:
		c.formErr.Add(1)
	case len(q.resp.Answer) > 0:
		c.answered.Add(1)
	case !q.resp.Truncated:
		c.noData.Add(1)
	}
}
