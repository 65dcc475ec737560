package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/bench/party"
)

// TestMain is the forwarder, and what starts systems, where it is run as them.
func TestMain(m *testing.M) {
	if main, done := disguised(os.Args); done {
		exit(main())
	}
	os.Exit(m.Run())
}

// The load works against every system there is: every packet of every variant arrives as it was sent.
func TestLoad(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "carillon")
	if err := party.Build(binary); err != nil {
		t.Fatal(err)
	}
	at := testPlace()
	for _, v := range variants() {
		for _, system := range loaded(at, binary) {
			t.Run(v.name+"/"+system.name(), func(t *testing.T) { carries(t, at, system, v) })
		}
	}
}

// loaded are the systems there are.
func loaded(at place, binary string) []system {
	systems := []system{newNode(at, binary, false), &forwarder{place: at, floor: floorEpoll}}
	if hasRTPEngine() {
		systems = append(systems, &rtpengine{place: at})
	}
	return systems
}

// Every way to forward there is forwards all packets, packets of the variant with the longest ones, too.
func TestFloors(t *testing.T) {
	at := testPlace()
	for _, system := range allFloors(t, at) {
		t.Run(system.name(), func(t *testing.T) { carries(t, at, system, variant{"gcm-gcm", [2]string{gcm, gcm}}) })
	}
	if list, err := floors(at, "epoll,rings"); err == nil {
		t.Errorf("floors %v from a name that is none", list)
	}
}

// allFloors are the ways to forward that the system has.
func allFloors(t *testing.T, at place) []system {
	t.Helper()
	names := "epoll,epoll-connected,gathered,gathered-connected"
	switch r, err := newRing(8, 16); {
	case err == nil:
		names += ",ring,ring-connected"
		_ = unix.Close(r.fd)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		t.Logf("without rings, which the system forbids: %v", err)
	default:
		t.Error(err)
	}
	list, err := floors(at, names)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// carries has a system carry a few calls for a moment, and looks at each packet.
func carries(t *testing.T, at place, system system, v variant) {
	s := settings{place: at, calls: 5, warm: 100 * time.Millisecond, length: 400 * time.Millisecond}
	got, out, err := s.visit(system, v)
	if err != nil {
		t.Fatal(err)
	}
	const sent = 5 * 2 * 20
	if out.sent != sent || out.arrived != sent || out.doubled != 0 || got.each <= 0 || out.latency.total != sent {
		t.Errorf("%d of %d packets arrived, %s, %v each", out.arrived, out.sent, out, got.each)
	}
}

// A packet that is not what was sent, or that comes again, is counted.
func TestTake(t *testing.T) {
	v := variant{suites: [2]string{gcm, gcm}}
	l, err := newLoad(v, loopback())
	defer l.close()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.join([2]far{{at: addr(t, "127.0.0.14:9"), key: l.keys[1]}, {at: addr(t, "127.0.0.14:10"), key: l.keys[0]}}); err != nil {
		t.Fatal(err)
	}
	e := &engine{load: l, measuring: true, last: 1}
	if err := l.packets[0].make(0); err != nil {
		t.Fatal(err)
	}
	to, packet := l.legs[1], l.packets[0].now
	l.legs[0].sent[0] = 1000
	e.take(to, packet[:len(packet)-1], 5000)
	e.take(nil, packet, 5000)
	if e.out.wrong != 2 || to.arrived != 0 {
		t.Errorf("a packet that is too short and one from nowhere: %d wrong, %d arrived", e.out.wrong, to.arrived)
	}
	e.take(to, packet, 5000)
	e.take(to, packet, 5000)
	if to.arrived != 1 || e.out.doubled != 1 || e.out.latency.counts[4] != 1 {
		t.Errorf("%d arrived, %d doubled, latency %v", to.arrived, e.out.doubled, e.out.latency.quantile(.5))
	}
	forged := append([]byte(nil), packet...)
	forged[len(forged)-1] ^= 1
	l.legs[0].sent[0] = 1000
	if e.take(to, forged, 5000); e.out.wrong != 3 || to.arrived != 1 {
		t.Errorf("a forged packet: %d wrong, %d arrived", e.out.wrong, to.arrived)
	}
	if e.sum(); e.out.silent != 1 || e.out.sent != 2 || e.out.arrived != 1 {
		t.Errorf("sums: %d silent, %d of %d", e.out.silent, e.out.arrived, e.out.sent)
	}
}

func TestFrameOf(t *testing.T) {
	for _, tt := range []struct {
		sequence uint16
		near     uint64
		want     uint64
	}{{1000, 0, 0}, {1005, 3, 5}, {1003, 5, 3}, {999, 65530, 65535}, {1000, 65530, 65536}, {65535, 64540, 64535}} {
		if got := frameOf(tt.sequence, tt.near); got != tt.want {
			t.Errorf("sequence %d near %d: frame %d, want %d", tt.sequence, tt.near, got, tt.want)
		}
	}
}

func TestBencode(t *testing.T) {
	want := map[string]any{"command": "offer", "sdp": "v=0\r\n"}
	text := encode(want)
	if text != "d7:command5:offer3:sdp5:v=0\r\ne" {
		t.Errorf("encoded %q", text)
	}
	got, rest, err := decode(text + "x")
	if err != nil || rest != "x" || !reflect.DeepEqual(got, any(want)) {
		t.Errorf("decoded %v, %q, %v", got, rest, err)
	}
	got, _, err = decode("d4:listli-3e1:aee")
	if err != nil || !reflect.DeepEqual(got, any(map[string]any{"list": []any{-3, "a"}})) {
		t.Errorf("a list: %v, %v", got, err)
	}
	for _, bad := range []string{"", "d", "l1:a", "5:abc", "ie", "i1", "d1:ae", "di1e1:ae", "-1:", "x"} {
		if v, _, err := decode(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, v)
		}
	}
}

func TestRead(t *testing.T) {
	const sdp = "v=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:1 AEAD_AES_128_GCM inline:AAAA\r\n" +
		"a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:AQID|2^20\r\n"
	f, tag, err := read(sdp, cm80)
	if err != nil || f.at.String() != "127.0.0.9:4000" || tag != 7 || !reflect.DeepEqual(f.key, key{cm80, []byte{1, 2, 3}}) {
		t.Errorf("got %v, tag %d, %v", f, tag, err)
	}
	for _, suite := range []string{"", cm32} {
		if f, _, err := read(sdp, suite); err == nil {
			t.Errorf("%q is found: %v", suite, f)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 100 {
		h.add(int64(i) * 1000)
	}
	h.add(1e12)
	h.add(-1)
	if p50, p99, most := h.quantile(.5), h.quantile(.98), h.quantile(1-1e-9); p50 != 50*time.Microsecond ||
		p99 != 98*time.Microsecond || most != 20*time.Millisecond {
		t.Errorf("p50 %v, p99 %v, most %v", p50, p99, most)
	}
}

func TestChosen(t *testing.T) {
	if list, err := chosen(usual); err != nil || len(list) != 4 {
		t.Errorf("the usual ones: %v, %v", list, err)
	}
	if _, err := chosen("rtp-rtp,x"); err == nil {
		t.Error("x is taken")
	}
}

func addr(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
