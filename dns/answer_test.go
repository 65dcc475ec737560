package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestAnswers(t *testing.T) {
	srv := func(owner string, port int, host string, ttl int) string {
		return fmt.Sprintf("%s. %d IN SRV 10 10 %d %s.", owner, ttl, port, host)
	}
	naptr := func(host string, order, ttl int, service, label string) string {
		return fmt.Sprintf(`%s. %d IN NAPTR %d 10 "s" "%s" "" %s.%s.`, host, ttl, order, service, label, host)
	}
	const soa = domain + ". 5 IN SOA ns1." + domain + ". hostmaster." + domain + ". 77 3600 600 86400 5"
	const (
		ok      = dns.RcodeSuccess
		nx      = dns.RcodeNameError
		refused = dns.RcodeRefused
	)
	for _, tt := range []struct {
		name, qtype string
		rcode       int
		want        string // "" where the SOA is expected in the authority section
	}{
		{plainHost, "A", ok, plainHost + ". 60 IN A 192.0.2.1"},
		{plainHost, "AAAA", ok, plainHost + ". 60 IN AAAA 2001:db8::1"},
		{safeHost, "A", ok, safeHost + ". 30 IN A 192.0.2.2"},
		{safeHost, "AAAA", ok, ""},
		{idleHost, "A", ok, ""},
		{plainHost, "TXT", ok, ""},
		{plainHost, "SRV", ok, ""},
		{plainHost, "NAPTR", ok, naptr(plainHost, 10, 60, "SIPS+D2T", "_sips._tcp") + "\n" +
			naptr(plainHost, 20, 60, "SIP+D2T", "_sip._tcp") + "\n" + naptr(plainHost, 30, 60, "SIP+D2U", "_sip._udp")},
		{safeHost, "NAPTR", ok, naptr(safeHost, 10, 30, "SIPS+D2T", "_sips._tcp")},
		{"_sips._tcp." + plainHost, "SRV", ok, srv("_sips._tcp."+plainHost, 5061, plainHost, 60)},
		{"_sip._tcp." + plainHost, "SRV", ok, srv("_sip._tcp."+plainHost, 5060, plainHost, 60)},
		{"_sip._udp." + plainHost, "SRV", ok, srv("_sip._udp."+plainHost, 5060, plainHost, 60)},
		{"_sips._tcp." + safeHost, "SRV", ok, srv("_sips._tcp."+safeHost, 5061, safeHost, 30)},
		// The promise of the encrypted connector, and with it what does not exist at all.
		{"_sip._tcp." + safeHost, "SRV", nx, ""},
		{"_sip._udp." + safeHost, "SRV", nx, ""},
		{"_udp." + safeHost, "SRV", nx, ""},
		{"_tcp." + safeHost, "SRV", ok, ""}, // empty non-terminal
		{"_udp." + plainHost, "A", ok, ""},
		{"_sips._tcp." + plainHost, "A", ok, ""},
		{"_sips._udp." + plainHost, "SRV", nx, ""},
		{"_x._sips._tcp." + plainHost, "SRV", nx, ""},
		{"_sip._tcp.nowhere." + domain, "SRV", nx, ""},
		{"_sip._tcp." + domain, "SRV", nx, ""},
		{"nowhere.voiceconnector." + domain, "A", nx, ""},
		{"below." + plainHost, "A", nx, ""},
		{"voiceconnector." + domain, "A", ok, ""}, // names exist below (RFC 8020)
		{"vc." + domain, "A", ok, ""},
		{"eu-west-1.vc." + domain, "NS", ok, ""},
		{"us-east-1.vc." + domain, "A", nx, ""},
		{domain, "SOA", ok, strings.Replace(soa, " 5 IN", " 3600 IN", 1)},
		{domain, "NS", ok, domain + ". 3600 IN NS ns1." + domain + ".\n" + domain + ". 3600 IN NS ns2.elsewhere.example."},
		{domain, "A", ok, ""},
		{"ns1." + domain, "A", ok, "ns1." + domain + ". 3600 IN A 192.0.2.53"},
		{"old.example.net", "NS", ok, "old.example.net. 3600 IN NS ns1." + domain + ".\nold.example.net. 3600 IN NS ns2.elsewhere.example."},
		{plainHost, "ANY", ok, plainHost + `. 3600 IN HINFO "RFC8482" ""`},
		{"_tcp." + plainHost, "ANY", ok, "_tcp." + plainHost + `. 3600 IN HINFO "RFC8482" ""`},
		{domain, "ANY", ok, domain + `. 3600 IN HINFO "RFC8482" ""`},
		{"nowhere." + domain, "ANY", nx, ""},
		{"example.com", "A", refused, ""},
		{"notvoice.example.com", "A", refused, ""},
		{"x" + domain, "A", refused, ""},
		{".", "NS", refused, ""},
		{domain, "AXFR", refused, ""},
		{domain, "IXFR", refused, ""},
		{`a\046b.` + domain, "A", nx, ""},
		{`a\000b.` + domain, "A", nx, ""},
	} {
		t.Run(tt.qtype+" "+tt.name, func(t *testing.T) {
			s, _ := startServer(t, nil)
			resp, _, _ := ask(t, s, question(tt.name, tt.qtype), true)
			if resp == nil {
				t.Fatal("no answer")
			}
			if resp.Rcode != tt.rcode || records(resp.Answer) != tt.want {
				t.Errorf("got %s\n%s\nwant %s\n%s", dns.RcodeToString[resp.Rcode], records(resp.Answer), dns.RcodeToString[tt.rcode], tt.want)
			}
			wantSOA := ""
			if tt.want == "" && tt.rcode != refused {
				wantSOA = soa
			}
			if got := records(resp.Ns); got != wantSOA {
				t.Errorf("authority\n%s\nwant\n%s", got, wantSOA)
			}
			if resp.RecursionAvailable || !resp.Response || resp.Authoritative != (tt.rcode != refused) {
				t.Errorf("flags %+v", resp.MsgHdr)
			}
		})
	}
}

// A resolver that sets the case of letters at random must get its own case back (0x20).
func TestCaseIsKept(t *testing.T) {
	s, _ := startServer(t, nil)
	name := "_SiPs._tCp." + strings.ToUpper(plainHost)
	resp, _, _ := ask(t, s, question(name, "SRV"), false)
	if resp == nil || resp.Rcode != dns.RcodeSuccess || len(resp.Answer) != 1 {
		t.Fatalf("answer %v", resp)
	}
	if resp.Question[0].Name != name+"." || resp.Answer[0].Header().Name != name+"." {
		t.Errorf("question %s, owner %s, want %s.", resp.Question[0].Name, resp.Answer[0].Header().Name, name)
	}
}

// Over UDP an answer with addresses or SRV records is at most twice its question, for every name, with EDNS and without.
func TestAmplification(t *testing.T) {
	s, _ := startServer(t, func(c *Config) {
		z := newZone()
		z[domain] = HostInfo{Addrs: addrs("192.0.2.1", "2001:db8::1", "2001:db8::2"), Ports: Ports{UDP: 5060}}
		c.Zone = z
	})
	// Names so short that not one AAAA record fits into twice the question.
	short, _ := startServer(t, func(c *Config) {
		c.Domains = []string{"v.io"}
		c.Zone = fakeZone{"v.io": {Addrs: addrs("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"), Ports: Ports{UDP: 5060}}}
	})
	if resp, in, out := ask(t, short, question("v.io", "AAAA"), false); !resp.Truncated || out > 2*in {
		t.Errorf("AAAA v.io: truncated %v, %d octets for %d", resp.Truncated, out, in)
	}
	if resp, in, out := ask(t, short, question("v.io", "A"), false); len(resp.Answer) != 1 || out > 2*in {
		t.Errorf("A v.io: %d records, %d octets for %d", len(resp.Answer), out, in)
	}
	for _, name := range []string{plainHost, safeHost, wideHost, domain, "ns1." + domain} {
		for _, q := range []struct{ prefix, qtype string }{
			{"", "A"}, {"", "AAAA"}, {"_sips._tcp.", "SRV"}, {"_sip._udp.", "SRV"}, {"_sip._tcp.", "SRV"},
		} {
			for _, edns := range []bool{false, true} {
				m := question(q.prefix+name, q.qtype)
				if edns {
					m.SetEdns0(4096, true)
				}
				resp, in, out := ask(t, s, m, false)
				if len(resp.Answer) == 0 && !resp.Truncated {
					continue // a denial, judged below
				}
				if out > 2*in {
					t.Errorf("%s %s edns=%v: %d octets for %d", q.qtype, q.prefix+name, edns, out, in)
				}
				if resp.Truncated && len(resp.Answer) != 0 {
					t.Errorf("%s %s: a part of the records with TC", q.qtype, q.prefix+name)
				}
			}
		}
	}
}

// Many addresses are given in turns: what one answer leaves out, the next ones hold.
func TestRotation(t *testing.T) {
	s, _ := startServer(t, nil)
	seen, firsts := map[string]bool{}, map[string]bool{}
	for range 24 {
		resp, _, _ := ask(t, s, question(wideHost, "A"), false)
		if resp.Truncated || len(resp.Answer) == 0 || len(resp.Answer) == 12 {
			t.Fatalf("%d records, truncated %v", len(resp.Answer), resp.Truncated)
		}
		firsts[resp.Answer[0].String()] = true
		for _, rr := range resp.Answer {
			seen[rr.String()] = true
		}
	}
	if len(seen) != 12 || len(firsts) != 12 {
		t.Errorf("%d addresses seen, %d of them first, want 12", len(seen), len(firsts))
	}
	if resp, _, _ := ask(t, s, question(wideHost, "AAAA"), true); len(resp.Answer) != 12 {
		t.Errorf("%d addresses over TCP, want 12", len(resp.Answer))
	}
}

func TestTruncation(t *testing.T) {
	long := strings.Repeat("l", 60) + "." + strings.Repeat("m", 60) + "." + domain
	s, _ := startServer(t, func(c *Config) {
		c.Zone = fakeZone{long: {Addrs: addrs("192.0.2.1"), Ports: Ports{UDP: 1, TCP: 2, TLS: 3}}}
	})
	for _, tt := range []struct {
		edns      uint16 // 0: none
		stream    bool
		truncated bool
	}{{0, false, true}, {100, false, true}, {512, false, true}, {1232, false, false}, {65535, false, false}, {0, true, false}} {
		m := question(long, "NAPTR") // three records of more than 160 octets
		if tt.edns > 0 {
			m.SetEdns0(tt.edns, false)
		}
		resp, _, out := ask(t, s, m, tt.stream)
		want := 3
		if tt.truncated {
			want = 0
		}
		if resp.Truncated != tt.truncated || len(resp.Answer) != want {
			t.Errorf("EDNS %d, stream %v: truncated %v with %d records in %d octets", tt.edns, tt.stream, resp.Truncated, len(resp.Answer), out)
		}
		if limit := max(512, min(int(tt.edns), maxUDP)); !tt.stream && out > limit {
			t.Errorf("EDNS %d: %d octets, want at most %d", tt.edns, out, limit)
		}
		if opt := resp.IsEdns0(); (opt != nil) != (tt.edns > 0) {
			t.Errorf("EDNS %d: OPT in the answer: %v", tt.edns, opt)
		}
	}
}

func TestOddMessages(t *testing.T) {
	edit := func(f func(*dns.Msg)) []byte {
		m := question(plainHost, "A")
		f(m)
		return pack(t, m)
	}
	two := func(m *dns.Msg) {
		for range 2 {
			m.Extra = append(m.Extra, &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}})
		}
	}
	loop := append(pack(t, question(".", "A"))[:12], 0xc0, 12, 0, 1, 0, 1)
	for _, tt := range []struct {
		name   string
		packet []byte
		rcode  int // -1: silence
	}{
		{"nothing", nil, -1},
		{"eleven octets", make([]byte, 11), -1},
		{"a response", edit(func(m *dns.Msg) { m.Response = true }), -1},
		{"no question", edit(func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		{"two questions", edit(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		{"cut inside the question", edit(func(*dns.Msg) {})[:20], dns.RcodeFormatError},
		{"name that points to itself", loop, dns.RcodeFormatError},
		{"an answer in a query", edit(func(m *dns.Msg) { m.Answer = []dns.RR{&dns.A{Hdr: header(".", dns.TypeA, 1), A: []byte{1, 2, 3, 4}}} }), dns.RcodeFormatError},
		{"two OPT", edit(two), dns.RcodeFormatError},
		{"NOTIFY", edit(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), dns.RcodeNotImplemented},
		{"UPDATE", edit(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		{"EDNS version 1", edit(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		{"class CHAOS", edit(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		{"unknown type", edit(func(m *dns.Msg) { m.Question[0].Qtype = 65280 }), dns.RcodeSuccess},
	} {
		s, _ := startServer(t, nil)
		answer := s.Answer(nil, tt.packet, client, false)
		got := -1
		if answer != nil {
			var m dns.Msg
			if err := m.Unpack(answer); err != nil {
				t.Fatalf("%s: unreadable answer: %v", tt.name, err)
			}
			got = m.Rcode
		}
		if got != tt.rcode {
			t.Errorf("%s: rcode %d, want %d", tt.name, got, tt.rcode)
		}
		if len(answer) > 2*max(len(tt.packet), 12) && tt.rcode != dns.RcodeSuccess {
			t.Errorf("%s: %d octets for %d", tt.name, len(answer), len(tt.packet))
		}
	}
}

func TestRecursionDesiredIsCopied(t *testing.T) {
	s, _ := startServer(t, nil)
	m := question(plainHost, "A")
	m.RecursionDesired = true
	if resp, _, _ := ask(t, s, m, false); !resp.RecursionDesired || resp.RecursionAvailable {
		t.Errorf("flags %+v", resp.MsgHdr)
	}
}

func TestRateLimit(t *testing.T) {
	s, fake := startServer(t, func(c *Config) { c.Rate = 10 })
	send := func(from, name string, stream bool) (full, slipped, dropped int) {
		for range 100 {
			answer := s.Answer(nil, pack(t, question(name, "A")), netip.MustParseAddr(from), stream)
			var m dns.Msg
			switch {
			case answer == nil:
				dropped++
			case m.Unpack(answer) != nil:
				t.Fatal("unreadable answer")
			case m.Truncated:
				slipped++
				if len(answer) > len(pack(t, question(name, "A"))) {
					t.Fatalf("a slipped answer of %d octets", len(answer))
				}
			default:
				full++
			}
		}
		return full, slipped, dropped
	}
	for _, tt := range []struct {
		what, from, name string
		stream           bool
		full             int
	}{
		{"first network", "192.0.2.1", plainHost, false, 11},
		{"its neighbour shares the limit", "192.0.2.99", plainHost, false, 0},
		{"another name has its own", "192.0.2.1", safeHost, false, 11},
		{"another network too", "198.51.100.1", plainHost, false, 11},
		{"an IPv6 network", "2001:db8:0:1::1", plainHost, false, 11},
		{"the same /56", "2001:db8:0:2::1", plainHost, false, 0},
		{"nor is this machine", "127.0.0.1", plainHost, false, 100},
		{"TCP is not limited", "192.0.2.1", plainHost, true, 100},
	} {
		full, slipped, dropped := send(tt.from, tt.name, tt.stream)
		if full != tt.full || slipped < (100-full)/2 || slipped > (101-full)/2 || full+slipped+dropped != 100 {
			t.Errorf("%s: %d full, %d slipped, %d dropped, want %d full", tt.what, full, slipped, dropped, tt.full)
		}
	}
	fake.Advance(1e9)
	if full, _, _ := send("192.0.2.1", plainHost, false); full < 9 || full > 11 {
		t.Errorf("a second later: %d full, want about 10", full)
	}
	// Made-up names share one bucket.
	full := 0
	for i := range 100 {
		answer := s.Answer(nil, pack(t, question(fmt.Sprintf("n%d.%s", i, domain), "A")), netip.MustParseAddr("203.0.113.1"), false)
		if len(answer) > 100 {
			full++
		}
	}
	if full > 11 {
		t.Errorf("%d denials for made-up names, want at most 11", full)
	}
	fake.Advance(-3600e9)
	if full, _, _ := send("192.0.2.1", plainHost, false); full < 9 {
		t.Errorf("after the clock was set back an hour: %d full, want 10", full)
	}
}

func TestStats(t *testing.T) {
	s, _ := startServer(t, nil)
	for _, q := range [][2]string{{plainHost, "A"}, {plainHost, "TXT"}, {"no." + domain, "A"}, {"example.org", "A"}} {
		ask(t, s, question(q[0], q[1]), false)
	}
	s.Answer(nil, []byte("x"), client, false)
	ask(t, s, question(plainHost, "A"), true)
	want := Stats{UDP: 5, TCP: 1, Dropped: 1, Refused: 1, Denied: 1, NoData: 1, Answered: 2}
	if got := s.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	ns := []NameServer{{Name: "ns.example.com"}}
	for name, cfg := range map[string]Config{
		"no zone":         {Domains: []string{domain}, NameServers: ns},
		"no domain":       {Zone: newZone(), NameServers: ns},
		"no name server":  {Zone: newZone(), Domains: []string{domain}},
		"bad domain":      {Zone: newZone(), Domains: []string{"a..b"}, NameServers: ns},
		"empty domain":    {Zone: newZone(), Domains: []string{"."}, NameServers: ns},
		"bad name server": {Zone: newZone(), Domains: []string{domain}, NameServers: []NameServer{{Name: ""}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, q := range [][2]string{{plainHost, "A"}, {"_sips._tcp." + safeHost, "SRV"}, {wideHost, "AAAA"}, {domain, "NS"}, {plainHost, "ANY"}, {domain, "AXFR"}} {
		m := question(q[0], q[1])
		f.Add(pack(f, m), false)
		m.SetEdns0(1400, true)
		f.Add(pack(f, m), true)
	}
	s, _ := startServer(f, nil)
	f.Fuzz(func(t *testing.T, packet []byte, stream bool) {
		answer := s.Answer(nil, packet, client, stream)
		if answer == nil {
			return
		}
		var m dns.Msg
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("unreadable answer: %v", err)
		}
		if !m.Response || m.RecursionAvailable || m.Id != uint16(packet[0])<<8|uint16(packet[1]) {
			t.Fatalf("header %+v", m.MsgHdr)
		}
		limit := maxTCP
		if !stream {
			limit = maxUDP
			if m.Rcode == dns.RcodeSuccess && len(m.Answer) > 0 {
				switch m.Question[0].Qtype {
				case dns.TypeA, dns.TypeAAAA, dns.TypeSRV:
					limit = min(limit, 2*len(packet))
				}
			}
		}
		if len(answer) > limit {
			t.Fatalf("%d octets for %d", len(answer), len(packet))
		}
		for _, rr := range m.Answer {
			text := strings.ToLower(rr.String())
			if strings.Contains(text, safeHost) && (strings.Contains(text, "_sip._") || strings.Contains(text, "5060")) {
				t.Fatalf("a clear transport of the encrypted connector: %s", rr)
			}
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	s, _ := startServer(b, func(c *Config) { c.Rate = 1_000_000_000 })
	for _, bm := range []struct{ name, qname, qtype string }{
		{"A", plainHost, "A"}, {"SRV", "_sips._tcp." + safeHost, "SRV"}, {"NAPTR", plainHost, "NAPTR"}, {"NXDOMAIN", "no." + domain, "A"},
	} {
		m := question(bm.qname, bm.qtype)
		m.SetEdns0(1232, false)
		packet := pack(b, m)
		b.Run(bm.name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if s.Answer(buf, packet, client, false) == nil {
					b.Fatal("no answer")
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}
