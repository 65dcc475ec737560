package media

import (
	"strings"

	"carillon/rtp"
	"carillon/sdp"
)

// The two laws of G.711 under their static payload types (RFC 3551 section 6).
var (
	muLaw = law{sdp.Format{Name: "0", Encoding: "PCMU/8000"}, rtp.PayloadPCMU}
	aLaw  = law{sdp.Format{Name: "8", Encoding: "PCMA/8000"}, rtp.PayloadPCMA}
)

// law is one of the laws as a section names it.
type law struct {
	sdp.Format
	payload uint8
}

// conversion turns packets of one law into packets of the other: the payload type and each octet of the payload change,
// and nothing else.
type conversion struct {
	// from and also are the payload types that are converted: a side sends the law under the number that it was offered, or
	// under the one that it answered with.
	from, also, to uint8
	table          *[256]byte
}

func (c *conversion) takes(payload uint8) bool { return payload == c.from || payload == c.also }

// apply converts a packet in the clear. Padding stays as it is.
func (c *conversion) apply(b []byte, h rtp.Header) error {
	payload, err := h.Payload(b)
	if err != nil {
		return err
	}
	b[1] = b[1]&0x80 | c.to
	for i, x := range payload {
		payload[i] = c.table[x]
	}
	return nil
}

// bridge is what an offer was given so that two sides which know one law each still understand each other.
type bridge struct {
	// own is the law that was offered, added the other one. Both are zero where nothing was added.
	own, added law
}

// isLaw reports whether a format is a law, under whatever payload type.
func isLaw(f sdp.Format, l law) bool {
	name := strings.TrimSuffix(codecName(f), "/1") // one channel is what is meant without it
	return strings.EqualFold(name, l.Encoding)
}

// newBridge returns the law to add to an offer: the one it lacks, where it has the other.
func newBridge(offered []sdp.Format) bridge {
	if len(offered) >= sdp.MaxFormats {
		return bridge{}
	}
	var mu, a *sdp.Format
	for i := range offered {
		f := &offered[i]
		if f.Name == muLaw.Name && !isLaw(*f, muLaw) || f.Name == aLaw.Name && !isLaw(*f, aLaw) {
			return bridge{} // a static type that means something else here
		}
		if mu == nil && isLaw(*f, muLaw) {
			mu = f
		}
		if a == nil && isLaw(*f, aLaw) {
			a = f
		}
	}
	switch {
	case mu != nil && a == nil:
		return bridge{named(muLaw, *mu), aLaw}
	case a != nil && mu == nil:
		return bridge{named(aLaw, *a), muLaw}
	}
	return bridge{}
}

// named is a law under the name and payload type that a section gives it; zero for a name that is no payload type.
func named(l law, f sdp.Format) law {
	n, ok := payloadType(f.Name)
	if !ok {
		return law{}
	}
	return law{sdp.Format{Name: f.Name, Encoding: l.Encoding}, n}
}

func payloadType(name string) (uint8, bool) {
	n := 0
	for _, c := range []byte(name) {
		if c < '0' || c > '9' || n > 127 {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return uint8(n), name != "" && n <= 127
}

// usable reports whether a law is offered that its offerer did not offer.
func (x bridge) usable() bool { return x.added.Name != "" && x.own.Name != "" }

// codec names what the offerer speaks where the answer has the law that was added.
func (x bridge) codec(answered []sdp.Format) string {
	for _, f := range answered {
		if !isLaw(f, x.added) && f.Speech() {
			return codecName(f)
		}
	}
	return x.own.Encoding
}

// taken judges an answer: back converts what the answerer sends where it took the law that was added, there what the
// offerer sends where it took no other speech. drop and instead are what the answer to the offerer says in its place. The
// answer may have given the law a number of its own (RFC 3264 section 6.1).
func (x bridge) taken(answered []sdp.Format) (back, there *conversion, drop string, instead sdp.Format) {
	if !x.usable() {
		return nil, nil, "", sdp.Format{}
	}
	others := false
	var number uint8
	for _, f := range answered {
		n, ok := payloadType(f.Name)
		if law := isLaw(f, x.added); law && ok && drop == "" {
			drop, number = f.Name, n
		} else if !law && f.Speech() {
			others = true
		}
	}
	if drop == "" {
		return nil, nil, "", sdp.Format{}
	}
	toAdded, toOwn := rtp.MuToA(), rtp.AToMu()
	if x.added.Encoding == muLaw.Encoding {
		toAdded, toOwn = toOwn, toAdded
	}
	back = &conversion{x.added.payload, number, x.own.payload, toOwn}
	if others {
		return back, nil, drop, sdp.Format{}
	}
	return back, &conversion{x.own.payload, x.own.payload, number, toAdded}, drop, x.own.Format
}
