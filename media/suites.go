package media

import (
	"slices"

	"carillon/call"
	"carillon/sdp"
	"carillon/srtp"
)

// chooseOffered takes the first crypto line of an offer that can be used (RFC 4568 section 5.1.2). ours reports keys that
// this node made: a peer that sends one back would have both directions share a key stream wherever their SSRCs meet.
func (r *remote) chooseOffered(ours func(srtp.Key) bool) bool {
	for _, text := range r.section().Crypto {
		c, err := sdp.ParseCrypto(text)
		if err != nil {
			continue
		}
		if key, ok := readKey(c); ok && !ours(key) {
			r.crypto, r.key = c, key
			return true
		}
	}
	return false
}

// chooseAnswered takes the line of an answer and returns the one of the offered lines that it accepts.
func (r *remote) chooseAnswered(offered []*line, ours func(srtp.Key) bool) (*line, bool) {
	for _, text := range r.section().Crypto {
		c, err := sdp.ParseCrypto(text)
		if err != nil {
			continue
		}
		key, ok := readKey(c)
		if !ok || ours(key) {
			continue
		}
		for _, l := range offered {
			if l.tag == c.Tag && l.key.Suite() == key.Suite() {
				r.crypto, r.key = c, key
				return l, true
			}
		}
	}
	return nil, false
}

// ownKey reports whether this node made the key for this call.
func (s *Session) ownKey(key srtp.Key) bool {
	var lines []*line
	for _, lg := range s.legs {
		if lg.now != nil {
			lines = append(lines, lg.now.line)
		}
	}
	for _, ex := range []*exchange{s.pending, s.current} {
		if ex != nil {
			lines = append(append(lines, ex.lines...), ex.back)
		}
	}
	return slices.ContainsFunc(lines, func(l *line) bool { return l != nil && l.key.Equal(key) })
}

func readKey(c sdp.Crypto) (srtp.Key, bool) {
	suite, ok := srtp.ParseSuite(c.Suite)
	if !ok {
		return srtp.Key{}, false
	}
	key, err := srtp.ParseKey(suite, c.KeySalt)
	return key, err == nil
}

// newLine draws a key for a crypto line of ours.
func (p *Plane) newLine(tag int, spelling string, suite srtp.Suite) (*line, *call.Refusal) {
	key, err := srtp.NewKey(suite, p.rand)
	if err != nil {
		p.cfg.Logger.Error("draw media key", "error", err)
		return nil, call.Refuse(call.ReasonInternal, "media has no randomness")
	}
	return &line{tag: tag, suite: spelling, key: key}, nil
}

// offerLines makes the crypto lines of an offer: a new key for each suite. Where a re-offer goes to a peer
// that already has a key of ours, that key stays and comes first (RFC 4568 section 7.1.4).
func (p *Plane) offerLines(kept *line) ([]*line, *call.Refusal) {
	var lines []*line
	if kept != nil {
		lines = append(lines, kept)
	}
	tag := 1
	for _, suite := range p.cfg.Suites {
		if kept != nil && suite == kept.key.Suite() {
			continue
		}
		if kept != nil && tag == kept.tag {
			tag++
		}
		l, refusal := p.newLine(tag, suite.String(), suite)
		if refusal != nil {
			return nil, refusal
		}
		lines = append(lines, l)
		tag++
	}
	return lines, nil
}
