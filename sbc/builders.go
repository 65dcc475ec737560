package sbc

import (
	"sync"

	"carillon/sip"
)

// maxSpare is the longest message whose memory is kept for the next one.
const maxSpare = 16 << 10

// builders lends what messages are written with: a call writes ten, and new memory for each was a third of all it used.
type builders struct{ pool sync.Pool }

// get returns an empty builder.
func (p *builders) get() *sip.Builder {
	if b, ok := p.pool.Get().(*sip.Builder); ok {
		b.Reset()
		return b
	}
	return sip.NewBuilder(make([]byte, 0, 4096))
}

// put takes a builder back whose message was sent: transactions and flows keep no bytes that are not theirs. A builder
// that is not put back is nobody's loss.
func (p *builders) put(b *sip.Builder) {
	if len(b.Bytes()) <= maxSpare {
		p.pool.Put(b)
	}
}
