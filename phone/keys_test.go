package phone

import (
	"strings"
	"testing"

	"carillon/rtp"
	"carillon/sip/transport"
)

// Keys that one side presses come to the other, in order, in the clear and protected, while it goes on to be heard.
func TestPress(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
		caller, callee := twoPhones(t, proto)
		answered := answering(t, callee, func() Answer { return Answer{Audio: Tone(440)} })
		inv := to(callee, "x")
		if proto == transport.TLS {
			inv.Suites = DefaultSuites()
		}
		c, err := caller.Dial(testContext(t), inv)
		if err != nil {
			t.Fatal(err)
		}
		far := await(t, "the answered call", answered)
		const keys = "19*#D00"
		if err := c.Press(keys); err != nil {
			t.Fatal(err)
		}
		if err := far.Press("7"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all keys", func() bool { return far.Pressed() == keys && c.Pressed() == "7" })
		eventually(t, "the tone", func() bool { return c.Heard(440) > 0.9 })
		if s := far.Stats(); s.Rejected != 0 || s.Lost != 0 {
			t.Errorf("stats %+v", s)
		}
		if err := c.Press("1x"); err == nil {
			t.Error("x was pressed")
		}
		if err := c.Press(strings.Repeat("1", maxKeys+1)); err == nil {
			t.Error("too many keys were taken")
		}
	}
}

// A key is packets of one time stamp whose duration grows, the last of them three times (RFC 4733 section 2.5.1).
func TestKeyPackets(t *testing.T) {
	k := keypad{waiting: []byte("5#")}
	var events []rtp.Event
	var stamps []uint32
	sounds := 0
	for stamp := uint32(0); stamp < 160*30; stamp += 160 {
		n, e := k.next(stamp)
		if n == 0 {
			sounds++
		}
		for range n {
			events, stamps = append(events, e), append(stamps, k.began)
		}
	}
	if len(events) != 2*(keyFrames-1+keyEnds) || sounds != 30-2*keyFrames {
		t.Fatalf("%d packets of keys and %d of sound", len(events), sounds)
	}
	for i, e := range events {
		n := i % (len(events) / 2)
		want := rtp.Event{Code: 5, Volume: keyVolume, Duration: uint16(160 * min(n+1, keyFrames)), End: n >= keyFrames-1}
		began := uint32(0)
		if i >= len(events)/2 {
			want.Code, began = 11, 160*(keyFrames+keyPause)
		}
		if e != want || stamps[i] != began {
			t.Errorf("packet %d: %+v at %d; want %+v at %d", i, e, stamps[i], want, began)
		}
	}
}

func TestKeysThatCame(t *testing.T) {
	var k keypad
	take := func(stamp uint32, e rtp.Event) bool {
		_, fresh := k.take(rtp.Header{Timestamp: stamp}, e.Append(nil))
		return fresh
	}
	for i, tt := range []struct {
		stamp uint32
		code  uint8
		fresh bool
	}{{0, 1, true}, {0, 1, false}, {800, 1, true}, {1600, 16, false}, {1600, 11, true}} {
		if got := take(tt.stamp, rtp.Event{Code: tt.code}); got != tt.fresh {
			t.Errorf("packet %d: fresh %v; want %v", i, got, tt.fresh)
		}
	}
	if string(k.pressed) != "11#" {
		t.Errorf("pressed %q", k.pressed)
	}
	for i := range 2 * maxKeys {
		take(uint32(10_000+i), rtp.Event{Code: uint8(i % 10)})
	}
	if len(k.pressed) != maxKeys {
		t.Errorf("%d keys are kept; want %d", len(k.pressed), maxKeys)
	}
}

// The tones of each key are those of ITU-T Q.23, and nothing is said between keys.
func TestDTMF(t *testing.T) {
	const keys = "0123456789*#ABCD"
	said := say(DTMF(keys), len(keys)*10+50)
	for i := range keys {
		low, high, ok := KeyTones(keys[i])
		tone, pause := said[i*1600:i*1600+800], said[i*1600+800:(i+1)*1600]
		if a, b := ToneShare(tone, low), ToneShare(tone, high); !ok || a < 0.4 || b < 0.4 {
			t.Errorf("key %c: %.2f of %v Hz and %.2f of %v Hz", keys[i], a, low, b, high)
		}
		for _, s := range pause {
			if s != 0 {
				t.Fatalf("key %c is followed by sound", keys[i])
			}
		}
	}
	if _, _, ok := KeyTones('x'); ok {
		t.Error("x has tones")
	}
}
