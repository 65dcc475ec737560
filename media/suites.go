package media

import (
	"carillon/call"
	"carillon/sdp"
	"carillon/srtp"
)

// chooseOffered takes the first crypto line of an offer that can be used (RFC 4568 section 5.1.2).
func (r *remote) chooseOffered() bool {
	for _, text := range r.section().Crypto {
		c, err := sdp.ParseCrypto(text)
		if err != nil {
			continue
		}
		if key, ok := readKey(c); ok {
			r.crypto, r.key = c, key
			return true
		}
	}
	return false
}

// chooseAnswered takes the line of an answer and returns the one of ours that it accepts.
func (r *remote) chooseAnswered(ours []*line) (*line, bool) {
	for _, text := range r.section().Crypto {
		c, err := sdp.ParseCrypto(text)
		if err != nil {
			continue
		}
		key, ok := readKey(c)
		if !ok {
			continue
		}
		for _, l := range ours {
			// A peer that sends our own key back would have both directions share a key stream
			// wherever their SSRCs meet.
			if l.tag == c.Tag && l.key.Suite() == key.Suite() && !l.key.Equal(key) {
				r.crypto, r.key = c, key
				return l, true
			}
		}
	}
	return nil, false
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
