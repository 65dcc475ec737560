package phone

import (
	"fmt"
	"math"

	"carillon/rtp"
)

const (
	// keyFrames is how many packets of a key pressed grow its duration: 100 ms.
	keyFrames = 5
	// keyPause is how many packets of sound go between two keys: 60 ms.
	keyPause = 3
	// keyEnds is how often the end of a key is said, in packets as far apart as those before (RFC 4733 section 2.5.1.4): the
	// loss of one of them, or of all that is sent in a moment, must not leave a key pressed.
	keyEnds = 3
	// keyVolume is in dB below 1 mW.
	keyVolume = 10
	// maxKeys bounds the keys that wait to be sent, and those received that are kept.
	maxKeys = 256
	// eventsPayload is the payload type that events are offered under.
	eventsPayload = 101
)

// keypad is what the keys of a call are: those to send, the one that is being sent, and those that came.
type keypad struct {
	waiting []byte
	code    uint8
	sent    int // packets of the key that is being sent, 0 for none
	pause   int
	began   uint32 // time stamp of the key that is being sent

	pressed []byte
	last    uint32 // time stamp of the last key that came
	any     bool
}

// CheckKeys says what in keys is no key of a telephone.
func CheckKeys(keys string) error {
	for _, k := range []byte(keys) {
		if _, ok := rtp.EventOf(k); !ok {
			return fmt.Errorf("press %q: %q is no key", keys, k)
		}
	}
	return nil
}

// Press sends keys as telephone events (RFC 4733), one after the other: digits, *, # and A to D. It returns before they
// are sent, and an error when the other side takes no events or too many wait.
func (c *Call) Press(keys string) error {
	if err := CheckKeys(keys); err != nil {
		return err
	}
	m := c.media
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.agreed == nil || m.agreed.events == 0:
		return fmt.Errorf("press %q: the other side takes no events", keys)
	case len(m.keys.waiting)+len(keys) > maxKeys:
		return fmt.Errorf("press %q: too many keys wait", keys)
	}
	m.keys.waiting = append(m.keys.waiting, keys...)
	return nil
}

// Pressed returns the keys that came as telephone events, at most the last 256.
func (c *Call) Pressed() string {
	c.media.mu.Lock()
	defer c.media.mu.Unlock()
	return string(c.media.keys.pressed)
}

// next decides what the frame that is due at a time stamp carries: an event, or nothing of a key.
func (k *keypad) next(timestamp uint32) (e rtp.Event, ok bool) {
	if k.sent == 0 {
		if k.pause > 0 {
			k.pause--
			return e, false
		}
		if len(k.waiting) == 0 {
			return e, false
		}
		k.code, _ = rtp.EventOf(k.waiting[0])
		k.waiting, k.began = k.waiting[1:], timestamp
	}
	k.sent++
	e = rtp.Event{Code: k.code, Volume: keyVolume, Duration: uint16(min(k.sent, keyFrames) * FrameSize), End: k.sent >= keyFrames}
	if k.sent == keyFrames+keyEnds-1 {
		k.sent, k.pause = 0, keyPause
	}
	return e, true
}

// take notes a key that came. All packets of one have its time stamp.
func (k *keypad) take(h rtp.Header, payload []byte) (key byte, fresh bool) {
	e, ok := rtp.ParseEvent(payload)
	if !ok || k.any && h.Timestamp == k.last {
		return 0, false
	}
	if key, ok = e.Key(); !ok {
		return 0, false
	}
	k.any, k.last = true, h.Timestamp
	if len(k.pressed) == maxKeys {
		k.pressed = append(k.pressed[:0], k.pressed[1:]...)
	}
	k.pressed = append(k.pressed, key)
	return key, true
}

// DTMF says keys as pairs of tones (ITU-T Q.23), 100 ms each and as long between them, again and again with a second in
// between. What is no key is silent.
func DTMF(keys string) Audio {
	const on, each, rest = SampleRate / 10, SampleRate / 5, SampleRate
	n := 0
	return Audio{Say: func(frame []int16) {
		for i := range frame {
			frame[i] = 0
			at := n % (len(keys)*each + rest)
			if at < len(keys)*each && at%each < on {
				if low, high, ok := KeyTones(keys[at/each]); ok {
					t := 2 * math.Pi * float64(n) / SampleRate
					frame[i] = int16(toneLevel / 2 * (math.Sin(low*t) + math.Sin(high*t)))
				}
			}
			n++
		}
	}}
}

// KeyTones returns the two frequencies of a key in Hz (ITU-T Q.23).
func KeyTones(key byte) (low, high float64, ok bool) {
	for row, keys := range [4]string{"123A", "456B", "789C", "*0#D"} {
		for column := range keys {
			if keys[column] == key {
				return [4]float64{697, 770, 852, 941}[row], [4]float64{1209, 1336, 1477, 1633}[column], true
			}
		}
	}
	return 0, 0, false
}
