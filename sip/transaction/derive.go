package transaction

import (
	"bytes"
	"slices"

	"carillon/sip"
)

// maxForwards of ACK and CANCEL (RFC 3261 §8.1.1.6).
const maxForwards = 70

// scratch is what writing a message needs, kept between messages.
type scratch struct {
	msg sip.Message
	out sip.Builder
}

func newScratch() any { return new(scratch) }

// makeAck writes the ACK of a failed INVITE from the INVITE and its final response (RFC 3261
// §17.1.1.3, §22.1). It returns nil when the INVITE itself does not parse.
func (l *Layer) makeAck(invite []byte, resp *sip.Message) []byte {
	return l.derive(invite, "ACK", func(b *sip.Builder, req *sip.Message) {
		b.Copy(resp, sip.HdrTo)
		b.Copy(req, sip.HdrAuthorization)
		b.Copy(req, sip.HdrProxyAuthorization)
	})
}

// makeCancel writes the CANCEL of an INVITE (RFC 3261 §9.1).
func (l *Layer) makeCancel(invite []byte, reason string) []byte {
	return l.derive(invite, "CANCEL", func(b *sip.Builder, req *sip.Message) {
		b.Copy(req, sip.HdrTo)
		if reason != "" {
			b.Header(sip.HdrReason.String(), reason)
		}
	})
}

// derive writes a request that goes the way of another one: its Request-URI, topmost Via, Route,
// From, Call-ID and CSeq number.
func (l *Layer) derive(request []byte, method string, rest func(*sip.Builder, *sip.Message)) []byte {
	s := l.scratch.Get().(*scratch)
	defer l.scratch.Put(s)
	if err := s.msg.Parse(request); err != nil {
		return nil
	}
	b := &s.out
	b.Reset()
	b.Request(method, requestURI(request))
	b.HeaderBytes(sip.HdrVia.String(), s.msg.Get(sip.HdrVia))
	b.Copy(&s.msg, sip.HdrRoute)
	b.HeaderUint(sip.HdrMaxForwards.String(), maxForwards)
	b.Copy(&s.msg, sip.HdrFrom)
	rest(b, &s.msg)
	b.Copy(&s.msg, sip.HdrCallID)
	b.Open(sip.HdrCSeq.String())
	b.WriteUint(uint64(s.msg.CSeq()))
	b.WriteText(" " + method)
	b.Close()
	b.Body("", nil)
	return slices.Clone(b.Bytes())
}

// requestURI returns what stands between the method and the version of a request line, octet for
// octet, as ACK and CANCEL must repeat it.
func requestURI(request []byte) []byte {
	line, _, _ := bytes.Cut(request, []byte("\r\n"))
	_, line, _ = bytes.Cut(line, []byte(" "))
	uri, _, _ := bytes.Cut(line, []byte(" "))
	return uri
}
