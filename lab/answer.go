package lab

import (
	"errors"
	"time"

	"carillon/phone"
)

const (
	// lateAfter is how long answer-late rings.
	lateAfter = 3 * time.Second
	// ringAgain is how often no-answer rings: a proxy gives a call up after three minutes without a provisional answer
	// (RFC 3261 §13.3.1.1).
	ringAgain = time.Minute
)

// answer does what the number dialled says.
func (l *Lab) answer(in *phone.Incoming) {
	n, ok := Find(in.User)
	if !ok || in.User != string(n.E164) {
		l.refuse(in, 404)
		return
	}
	switch n.Name {
	case echo:
		l.converse(in, phone.Answer{Audio: phone.Echo()})
	case tone:
		l.converse(in, phone.Answer{Audio: phone.Tone(ToneHz)})
	case dtmf:
		l.converse(in, phone.Answer{Audio: phone.DTMF("1234567890*#ABCD")})
	case busy:
		l.refuse(in, 486)
	case noAnswer:
		l.ring(in)
	case answerLate:
		if err := in.Ring(183, &phone.Answer{Audio: phone.Ringing()}); err != nil {
			l.log.Info("ring", "number", n.E164, "error", err)
			return
		}
		if l.wait(in.Context().Done(), lateAfter) {
			l.converse(in, phone.Answer{Audio: phone.Tone(ToneHz)})
		}
	case refuse:
		l.refuse(in, 603)
	case dropAck:
		l.converse(in, phone.Answer{Audio: phone.Tone(ToneHz), DropAck: true})
	}
}

func (l *Lab) refuse(in *phone.Incoming, status int) {
	if err := in.Reject(status, ""); err != nil {
		l.log.Debug("refuse", "number", in.User, "error", err)
	}
}

// ring rings until the caller gives up.
func (l *Lab) ring(in *phone.Incoming) {
	for {
		if err := in.Ring(180, nil); err != nil {
			return
		}
		if !l.wait(in.Context().Done(), ringAgain) {
			return
		}
	}
}

// converse answers and stays until the call ends, at most MaxCallDuration.
func (l *Lab) converse(in *phone.Incoming, a phone.Answer) {
	c, err := in.Answer(a)
	if err != nil {
		if !errors.Is(err, phone.ErrOver) { // a caller who gave up at that moment is none of our business
			l.log.Info("answer", "number", in.User, "error", err)
		}
		return
	}
	if l.wait(c.Done(), MaxCallDuration) {
		l.hangUp(c)
	}
}

// wait reports whether d passed before end was closed.
func (l *Lab) wait(end <-chan struct{}, d time.Duration) bool {
	over := make(chan struct{})
	defer l.clock.AfterFunc(d, func() { close(over) }).Stop()
	select {
	case <-over:
		return true
	case <-end:
		return false
	}
}
