package phone

import (
	"math"
	"strings"
	"testing"

	"carillon/rtp"
	"carillon/sip/transport"
	"carillon/srtp"
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

// A key is packets of one time stamp whose duration grows, the first with the marker and the last three times, all of them as
// far apart as sound (RFC 4733 section 2.5.1). What they say goes on the wire in the clear and protected.
func TestKeyPackets(t *testing.T) {
	for _, suite := range []srtp.Suite{0, srtp.AEAD_AES_128_GCM} {
		m := &media{audio: Tone(440), header: rtp.Header{Marker: true, Sequence: 65530, Timestamp: 1<<32 - 320, SSRC: 9, Size: rtp.HeaderSize}}
		m.agreed, m.keys.waiting = &agreement{codec: PCMA, payload: 8, events: 96, sends: true}, []byte("5#")
		var receiver *srtp.Receiver
		if suite.Valid() {
			key, err := srtp.NewKey(suite, strings.NewReader(strings.Repeat("a key", 20)))
			if err != nil {
				t.Fatal(err)
			}
			m.sender, err = srtp.NewSender(key)
			if receiver, _ = srtp.NewReceiver(key, nil); err != nil || receiver == nil {
				t.Fatal(err)
			}
		}
		const each, pause, all = 5 + 2, 3, 30
		began := uint32(0)
		for i := range all {
			packet, _ := m.packet(make([]byte, 0, maxPacket))
			if receiver != nil {
				var err error
				if packet, err = receiver.Unprotect(packet[:0], packet); err != nil {
					t.Fatal(err)
				}
			}
			h, err := rtp.Parse(packet)
			if err != nil {
				t.Fatal(err)
			}
			// Which packet of a key it is, of sound those between two keys counted on.
			key, n := i/(each+pause), i%(each+pause)
			want := rtp.Header{PayloadType: 8, Sequence: 65530 + uint16(i), Timestamp: 1<<32 - 320 + uint32(i)*FrameSize, SSRC: 9, Size: rtp.HeaderSize}
			if key < 2 && n < each {
				if n == 0 {
					began = want.Timestamp
				}
				want.PayloadType, want.Marker, want.Timestamp = 96, n == 0, began
				event := rtp.Event{Code: []uint8{5, 11}[key], Volume: keyVolume, Duration: uint16(160 * min(n+1, 5)), End: n >= 4}
				if got, ok := rtp.ParseEvent(packet[h.Size:]); !ok || len(packet) != h.Size+4 || got != event {
					t.Errorf("packet %d: %x; want %+v", i, packet[h.Size:], event)
				}
			} else {
				want.Marker = n == each && key < 2
				if len(packet) != h.Size+FrameSize {
					t.Errorf("packet %d: %d octets of sound", i, len(packet)-h.Size)
				}
			}
			if h != want {
				t.Errorf("packet %d: %+v; want %+v", i, h, want)
			}
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
		// Two tones of equal power 6 dB below what Tone says: ITU-T Q.24 has receivers take 0 to -25 dBm0 each.
		if got := level(tone); math.Abs(got-(toneDBm-3.01)) > 0.3 {
			t.Errorf("key %c has %.1f dBm0; want %.1f", keys[i], got, toneDBm-3.01)
		}
	}
	if _, _, ok := KeyTones('x'); ok {
		t.Error("x has tones")
	}
}
