package cli

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	v1 "carillon/api/v1"
	"carillon/call"
)

func TestTried(t *testing.T) {
	for _, tt := range []struct {
		attempt call.Attempt
		want    string
	}{
		{call.Attempt{Target: "sip:a", Status: 200}, "sip:a 200"},
		{call.Attempt{Target: "sip:a", Status: 486, Error: "answered 486 Busy Here"}, "sip:a 486 answered 486 Busy Here"},
		{call.Attempt{Target: "sip:a", Status: 200, ConnectorID: "abc"}, "sip:a of abc 200"},
		{call.Attempt{Target: "sip:a", Error: "could not be reached", Cause: "it is this node itself"}, "sip:a could not be reached: it is this node itself"},
	} {
		if got := tried(tt.attempt, true); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.attempt, got, tt.want)
		}
	}
}

func TestTriedOfOneConnector(t *testing.T) {
	if got := tried(call.Attempt{Target: "sip:a", Status: 200, ConnectorID: "abc"}, false); got != "sip:a 200" {
		t.Errorf("%q names the connector that the record names already", got)
	}
}

// TestRehearsedGroup: of several connectors each target names its own.
func TestRehearsedGroup(t *testing.T) {
	for several, want := range map[bool]string{
		true:  "target 1         sip:a of abc srtp off\ntarget 2         sip:b of def srtp off\n",
		false: "target 1         sip:a srtp off\ntarget 2         sip:b srtp off\n",
	} {
		r := v1.Rehearsal{Targets: []call.RehearsedTarget{{URI: "sip:a", SRTP: "off", ConnectorID: "abc"}, {URI: "sip:b", SRTP: "off", ConnectorID: "abc"}}}
		if several {
			r.Targets[1].ConnectorID = "def"
		}
		var out strings.Builder
		if err := printRehearsal(&session{Streams: Streams{Out: &out}}, r); err != nil || out.String() != want {
			t.Errorf("%v: %q, %v; want %q", several, out.String(), err, want)
		}
	}
}

func TestQualityOfALeg(t *testing.T) {
	for _, tt := range []struct {
		leg  call.LegReport
		want string
	}{
		{call.LegReport{}, ""},
		{call.LegReport{MOS: 4.41, LongestGapMicros: 20_400}, "MOS 4.41 received, longest gap 20ms"},
		{
			call.LegReport{MOS: 3.9, MOSSent: 4.2, LostSent: 7, JitterSentMicros: 1500, RoundTripMicros: 48_000, OneWaySeconds: 3},
			"MOS 3.90 received, 4.20 sent (7 lost, jitter 1.5ms), round trip 48ms, 3 s silent while spoken to",
		},
	} {
		if got := quality(tt.leg); got != tt.want {
			t.Errorf("quality(%+v) = %q; want %q", tt.leg, got, tt.want)
		}
	}
}

// TestShowExplainsSilence: a phone that sends from another address than it signalled is not heard, and the record must say
// so and between which addresses. A phone without a certificate is no peer that failed to prove itself.
func TestShowExplainsSilence(t *testing.T) {
	record := v1.Call{
		Direction: call.Outbound.String(),
		Customer: call.LegRecord{
			Transport: "tls", TLSVersion: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Peer: call.PeerNotVerified,
			Media: call.LegReport{
				Profile: "RTP/AVP", Codec: "PCMU/8000", WrongSource: 104,
				Local: netip.MustParseAddrPort("203.0.113.7:20000"), Remote: netip.MustParseAddrPort("192.0.2.2:34994"),
			},
		},
		CarrierLeg: call.LegRecord{
			Transport: "tls", TLSVersion: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Peer: call.PeerNotVerified,
			Media: call.LegReport{Profile: "RTP/AVP", Codec: "PCMU/8000", PacketsReceived: 7, WrongSource: 3, KeyUsedUp: 5, Local: netip.MustParseAddrPort("203.0.113.7:20002")},
		},
	}
	show := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := printCall(&session{Streams: Streams{Out: &out}}, record); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	shown := show()
	for _, want := range []string{
		"customer leg     tls, TLS 1.3 TLS_AES_128_GCM_SHA256, no verified client certificate\n",
		"  addresses      node 203.0.113.7:20000, peer 192.0.2.2:34994\n",
		" 104 dropped: they came from another address than 192.0.2.2:34994\n",
		"carrier leg      tls, TLS 1.3 TLS_AES_128_GCM_SHA256, peer not verified\n",
		"  addresses      node 203.0.113.7:20002\n",
		" 3 dropped: they came from another address than the peer's\n",
		" 5 dropped: the lifetime of the peer's SRTP key, from its a=crypto line, was over\n",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	record.Direction, record.Customer.Media.WrongSource, record.CarrierLeg.Media.WrongSource = call.Inbound.String(), 0, 0
	record.CarrierLeg.Media.KeyUsedUp = 0
	if shown = show(); strings.Contains(shown, "dropped:") || !strings.Contains(shown, "customer leg     tls, TLS 1.3 TLS_AES_128_GCM_SHA256, peer not verified\n") {
		t.Errorf("an inbound call without strange packets:\n%s", shown)
	}
}
