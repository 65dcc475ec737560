package media

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"carillon/call"
	"carillon/sdp"
	"carillon/srtp"
)

// leg is one side of a session.
type leg struct {
	side call.Side
	loop *loop

	// Signalling's part, under the session's lock.
	policy    call.Leg
	confirmed bool
	sdpID     uint64   // the session in descriptions sent to this side
	version   uint64   // of the last description sent to this side
	told      []byte   // that description
	sections  string   // those of that description, as sdp.Sections has them; empty where there is one
	now       *applied // what is in use; nil before the first answer
	since     time.Time
	formats   []call.MediaFormat // all that were agreed
	// former are the peer's keys before the one in use, the latest last.
	former []formerKey
	// elsewhere is true where the side was told keys of another session since those in use were agreed on.
	elsewhere bool
	// lastRemote is the address that was in use at Close.
	lastRemote netip.AddrPort

	// The relay loop's part. What every packet needs comes first and begins a line of memory (TestLegsLieOnLines): a leg's
	// packets are far apart, and each line has to be fetched anew.
	path    atomic.Pointer[path]
	far     *leg
	session *Session
	pair    *pair
	packets budget // that may still come in the second
	numbers numbering
	misses  int32 // packets of the peer in a row that were not authentic
	hearing
	_     [lineAfterHearing]byte
	count legCounters
	_     [lineAfterCount]byte
	// latches are those of the first address and its port of RTCP.
	latches [2]latch
	// reports, strangers and checks are what may still come of those in the second.
	reports, strangers, checks budget
	tries                      int // of rollover counters of a stream joined late
	in, out                    way
	reporting
	_ [lineAfterLeg]byte
}

// What is left free so that lines begin where they are to.
const (
	lineAfterHearing = 24
	lineAfterCount   = 16
	lineAfterLeg     = 32
)

// applied is what was agreed with one side.
type applied struct {
	*remote
	line  *line // our key towards the side, nil for plain RTP
	in    *srtp.Receiver
	codec string
	// promises is true where the side said that it sends and the other that it receives.
	promises bool
	// since, from, rate and formats are as path has them.
	since   int64
	from    time.Duration
	rate    uint32
	formats []format
	// ice is our agent towards the side, nil for none.
	ice *agent
	// convert turns what the side sends into the law that the other side knows; nil for nothing.
	convert *conversion
	// tap is what is attached to what the side sends; nil for nothing.
	tap Tap
}

// line is one of our crypto lines: a key, and the sender that uses it, made once the line is chosen. A fork
// that chooses the same line gets the same sender: two would use one key stream twice.
type line struct {
	tag    sdp.Tag
	suite  string // in the spelling written
	key    srtp.Key
	sender *srtp.Sender
}

// cryptoOf returns lines as a description has them.
func cryptoOf(lines []*line) []sdp.Crypto {
	all := make([]sdp.Crypto, len(lines))
	secrets := make([]byte, 0, len(lines)*srtp.MaxKeySize)
	for i, l := range lines {
		from := len(secrets)
		secrets = l.key.AppendSecret(secrets)
		all[i] = sdp.Crypto{Tag: l.tag, Suite: l.suite, KeySalt: secrets[from:len(secrets):len(secrets)]}
	}
	return all
}

// local returns the address written into descriptions for this leg.
func (lg *leg) local() netip.AddrPort {
	return netip.AddrPortFrom(lg.pair.on.told, lg.pair.rtp.local.Port())
}

// apply puts what was agreed into use.
func (lg *leg) apply(a *applied) {
	old := lg.now
	p := &path{secure: lg.policy.SRTP == call.SRTPRequire, fax: a.profile.Fax, mux: a.mux, quiet: a.quiet, clockRate: clockRate(a.codec),
		since: a.since, rate: a.rate, detour: newDetour(a.tap, a.convert), ice: a.ice, formats: a.formats, from: a.from, mutual: never}
	if lg.session.settled {
		p.mutual = a.from
	}
	lg.formats = learn(lg.formats, a.formats)
	if old == nil {
		lg.in, lg.out = newWay(lg.session.memory()), newWay(lg.session.memory())
	}
	p.muted = lg.mutes(a)
	if a.line != nil {
		p.receiver, p.sender = a.in, a.line.sender
		p.frame, p.overhead = plainFrame(a.codec), a.key.Overhead()+len(a.crypto.MKI)
		// Before the call was answered another key is another peer's. The same one under another identifier would have two
		// windows, and who takes the identifier off a packet could have it heard twice.
		if old != nil && old.in != nil && old.in != a.in && lg.session.settled && !old.key.Equal(a.key) {
			p.before, p.until = old.in, lg.session.plane.cfg.Clock.Now().Add(MaxRekeyTime)
		}
	}
	if prev := lg.path.Load(); prev != nil && old.sameAddress(a.remote) && old.in == a.in {
		p.rtp, p.rtcp = prev.rtp, prev.rtcp
	} else {
		latches := &lg.latches
		if prev != nil {
			latches = new([2]latch) // the loop is at the others
		}
		p.rtp = &latches[0]
		p.rtp.begin(a.addr, a.alternate, a.sendable)
		p.rtcp = p.rtp
		if !a.mux {
			p.rtcp = &latches[1]
			p.rtcp.begin(a.rtcp, a.alternate, a.sendable)
		}
		p.rtp.listed = lg.session.plane.listed(lg.policy)
		p.rtcp.listed = p.rtp.listed
		p.rtp.ports = lg.session.plane.ports
		p.rtcp.ports = p.rtp.ports
	}
	lg.retire(a)
	lg.now, lg.elsewhere = a, false
	lg.path.Store(p)
}

// mutes reports whether nothing may be sent to the peer for now.
func (lg *leg) mutes(a *applied) bool {
	return a.hold || !lg.confirmed && !mayHear(lg.policy, a.addr.Addr())
}

// mayHear reports whether media may go to addr before the peer has proven to be there: without that a
// spoofed INVITE over UDP would aim a stream at anybody.
func mayHear(policy call.Leg, addr netip.Addr) bool {
	return !policy.HoldUntilConfirmed || addr == policy.Signalling.Unmap() ||
		policy.Trusted != nil && policy.Trusted(addr)
}

// listed tells from which addresses besides the signalling one a peer behind NAT may be latched. They are learned from a
// packet, so the rules of egress apply to them like to those of a description.
func (p *Plane) listed(policy call.Leg) func(netip.AddrPort) bool {
	if policy.Trusted == nil {
		return nil
	}
	return func(at netip.AddrPort) bool {
		return policy.Trusted(at.Addr()) && p.cfg.Egress.CheckPort(at) == nil
	}
}

func (lg *leg) report() call.LegReport {
	r := lg.count.report()
	if lg.now == nil {
		return r
	}
	r.MOS, r.MOSSent = lg.count.mos(lg.now.codec)
	r.Profile = lg.now.profile.String()
	if lg.now.line != nil {
		r.Suite = lg.now.line.key.Suite().String()
	}
	r.Codec, r.Local, r.Remote = lg.now.codec, lg.local(), lg.now.addr
	if p := lg.path.Load(); p != nil {
		r.Remote = p.rtp.remote()
	} else if lg.lastRemote.IsValid() {
		r.Remote = lg.lastRemote
	}
	return r
}

// clockRate reads the clock rate of "PCMU/8000" or "opus/48000/2"; 0 when there is none.
func clockRate(codec string) uint32 {
	_, rest, _ := strings.Cut(codec, "/")
	rate := uint32(0)
	for i := 0; i < len(rest) && rest[i] >= '0' && rest[i] <= '9' && rate < 1e7; i++ {
		rate = rate*10 + uint32(rest[i]-'0')
	}
	return rate
}

// plainFrame returns the bytes of 10 ms of a codec of constant rate, 0 for others.
func plainFrame(codec string) int {
	name, _, _ := strings.Cut(codec, "/")
	switch strings.ToUpper(name) {
	case "PCMU", "PCMA", "G722":
		return 80
	case "L16":
		return int(clockRate(codec)) / 100 * 2
	}
	return 0
}

// staticCodecs are the payload types of RFC 3551 section 6 that need no a=rtpmap.
var staticCodecs = map[string]string{
	"0": "PCMU/8000", "3": "GSM/8000", "4": "G723/8000", "8": "PCMA/8000", "9": "G722/8000", "13": "CN/8000", "18": "G729/8000",
}

func codecName(f sdp.Format) string {
	if f.Encoding != "" {
		return f.Encoding
	}
	return staticCodecs[f.Name]
}
