package sip

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestRFC5118(t *testing.T) {
	runTorture(t, "rfc5118", map[string]tortureCase{
		"ipv6-good":      {section: "4.1", check: every(wantMethod(Register), want("host", ruriHost, "[2001:db8::10]"), wantPort(0))},
		"ipv6-bad":       {section: "4.2", fault: FaultRequestURI, status: 400},
		"port-ambiguous": {section: "4.3", check: every(want("host", ruriHost, "[2001:db8::10:5070]"), wantPort(0))},
		"port-unambiguous": {section: "4.4", check: every(
			want("host", ruriHost, "[2001:db8::10]"), wantPort(5070))},
		"via-received-param-with-delim": {section: "4.5", check: wantReceived("[2001:db8::9:255]")},
		"via-received-param-no-delim":   {section: "4.5", check: wantReceived("2001:db8::9:255")},
		// The RFC's Content-Length is longer than its body; as datagrams these are short.
		"ipv6-in-sdp":       {section: "4.6", fault: FaultBodyShort, status: 400},
		"ipv6-in-sdp.fixed": {section: "4.6", check: every(wantBody(251), wantBodyHas("c=IN IP6 2001:db8::20"))},
		"mult-ip-in-header": {section: "4.7", check: wantHeader(HdrVia,
			"SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
			"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
			"SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200")},
		// Here it is shorter: what is beyond it is dropped (RFC 3261 §18.3).
		"mult-ip-in-sdp":       {section: "4.8", check: wantBody(181)},
		"mult-ip-in-sdp.fixed": {section: "4.8", check: every(wantBody(189), wantBodyHas("c=IN IP4 192.0.2.1"))},
		"ipv4-mapped-ipv6":     {section: "4.9", check: every(wantBody(236), wantMapped)},
		"ipv4-mapped-ipv6.fixed": {section: "4.9", check: every(wantBody(245), wantMapped,
			wantTopVia("UDP", "[::ffff:192.0.2.10]", 19823, "z9hG4bKbh19"))},
		// "An implementation must tolerate both of the above constructs."
		"ipv6-bug-abnf-3-colons":     {section: "4.10", check: wantHostAddr("2001:db8::192.0.2.1")},
		"ipv6-correct-abnf-2-colons": {section: "4.10", check: wantHostAddr("2001:db8::192.0.2.1")},
	})
}

func wantPort(port uint16) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if got := m.RequestURI().Port; got != port {
			t.Errorf("port: got %d, want %d", got, port)
		}
	}
}

func wantReceived(received string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		v := m.Via()
		addr, ok := parseAddr(v.Received)
		if string(v.Received) != received || !ok || addr != netip.MustParseAddr("2001:db8::9:255") {
			t.Errorf("received: got %q, an address: %v", v.Received, ok)
		}
	}
}

func wantBodyHas(line string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if !bytes.Contains(m.Body(), []byte(line+"\r\n")) {
			t.Errorf("body lacks %q", line)
		}
	}
}

func wantHostAddr(addr string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		for part, u := range map[string]*URI{"Request-URI": m.RequestURI(), "To": &m.To().URI} {
			if got, ok := u.HostAddr(); !ok || got != netip.MustParseAddr(addr) {
				t.Errorf("%s: got %v %v, want %s", part, got, ok, addr)
			}
		}
	}
}

func wantMapped(t *testing.T, m *Message) {
	t.Helper()
	got, ok := m.Contact().URI.HostAddr()
	if !ok || got.Unmap() != netip.MustParseAddr("192.0.2.2") {
		t.Errorf("Contact: got %v %v", got, ok)
	}
}
