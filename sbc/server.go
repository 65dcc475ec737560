// Package sbc is the signalling plane: a back-to-back user agent that joins a customer's leg and a carrier's leg into
// one call and holds the encryption promise on the customer's side.
//
// A request is judged on the goroutine that read it, by a list of steps that never wait (admission.go). A call that is
// let in has a queue of events, and whoever finds the call idle works through them, one at a time (mailbox.go).
// The plane sees neither keys nor ports: descriptions are bytes that it hands to the media plane.
package sbc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"carillon/call"
	"carillon/clock"
	"carillon/directory"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// Directory gives the newest snapshot of what is configured.
type Directory interface{ Snapshot() *directory.Snapshot }

// MediaPlane opens the media of a call. The refusal is ReasonNodeFull when it has no room.
type MediaPlane interface {
	Open(call.Open) (MediaSession, *call.Refusal)
}

// MediaSession is one call's media (RFC 3264 offer and answer over bytes).
type MediaSession interface {
	// Offer takes a description from one side and returns the one to offer the other, whose leg's policy is to. Each
	// call makes new keys for the far leg. In an established session nothing changes before Answer. What it returns is
	// kept and not to be changed, as is what Answer returns.
	Offer(from call.Side, sdp []byte, to call.Leg) ([]byte, *call.Refusal)
	// Answer takes the answer to the pending offer and returns the one for the offerer. The same bytes again give the
	// same answer; other bytes replace it.
	Answer(from call.Side, sdp []byte) ([]byte, *call.Refusal)
	// Reject drops the pending offer.
	Reject()
	// Origin returns what the last description for a side said of itself, and takes what it was told since by another
	// session, where told is not zero; that comes before the side's answer.
	Origin(side call.Side, told call.Origin) call.Origin
	// Confirm lifts Leg.HoldUntilConfirmed.
	Confirm(call.Side)
	// Moved gives a leg another Leg.Signalling, for what the side describes from now on.
	Moved(call.Side, netip.Addr)
	// Close ends the media and reports it.
	Close() call.MediaReport
}

// Records keeps records. Submit does not wait: done is called once the record is durable, or with why it is not. The caller
// may not have returned from Submit by then.
type Records interface {
	Submit(r call.Record, done func(error))
}

// Resolver finds where to send a request (RFC 3263).
type Resolver interface {
	Resolve(ctx context.Context, q resolve.Query) ([]resolve.Target, error)
}

// Dialer opens flows.
type Dialer interface {
	Dial(ctx context.Context, target transport.Target) (transport.Flow, error)
	// Reuse returns a connection whose peer opened it, proved to be c.ServerName and takes requests on it.
	Reuse(c *transport.ClientTLS, port uint16) (transport.Flow, bool)
}

// Health takes the OPTIONS of customers that an INVITE from there would have been let in with. It must not block.
type Health interface {
	Seen(connectorID string, source netip.Addr, at time.Time)
}

// Server is the signalling plane of one node. It implements transaction.Core.
type Server struct {
	cfg    Config
	log    *slog.Logger
	clock  clock.Clock
	limits Limits
	// nameIs4 is true when Config.Name is an IPv4 address, of which a peer over IPv6 can make nothing.
	nameIs4 bool
	layer   *transaction.Layer
	dialer  Dialer

	rates      rates
	actives    actives
	failures   failures
	dead       failures // addresses
	noTCP      failures // addresses that take no TCP
	lockouts   lockouts
	challenged challengedCalls
	stats      Stats

	budget    throttle // of records of refused calls
	logBudget throttle // of log lines about them

	random   lockedRand
	builders builders
	draining atomic.Bool
	calls    tasks // calls, until nothing of theirs can come any more
	records  tasks // calls that have not left their record yet

	mu      sync.Mutex
	dialogs map[string]*leg         // by our tag, which no two dialogs share
	merges  map[mergeKey]call.ID    // INVITEs under way, to answer a merged one (RFC 3261 §8.2.2.2)
	live    map[call.ID]*activeCall // calls of which something can come
	pairs   map[string]counterpart  // dialogs of answered calls that may be replaced, by our tag
	stopped bool                    // Drain has ended the calls: none may begin
}

var _ transaction.Core = (*Server)(nil)

// New returns a Server that is not attached to a transport yet.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Directory == nil, cfg.Media == nil, cfg.Records == nil, cfg.Digest == nil, cfg.Resolver == nil:
		return nil, errors.New("sbc: directory, media, records, digest and resolver are required")
	case cfg.Rand == nil:
		return nil, errors.New("sbc: a source of randomness is required")
	case cfg.Name == "" || cfg.Ports == nil:
		return nil, errors.New("sbc: the node's name and ports are required")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, clock: cfg.Clock, limits: cfg.Limits.withDefaults(),
		dialogs: make(map[string]*leg), merges: make(map[mergeKey]call.ID), live: make(map[call.ID]*activeCall), pairs: make(map[string]counterpart),
	}
	if ip, err := netip.ParseAddr(cfg.Name); err == nil {
		s.nameIs4 = ip.Is4()
	}
	if err := s.random.seed(cfg.Rand); err != nil {
		return nil, err
	}
	return s, nil
}

// Attach connects the server to its transactions and its dialer. It is called once, before the first message.
func (s *Server) Attach(layer *transaction.Layer, dialer Dialer) { s.layer, s.dialer = layer, dialer }

// Request implements transaction.Core.
func (s *Server) Request(tx *transaction.Server, req *sip.Message) {
	defer s.survive(tx, req)
	if len(req.To().Tag()) > 0 {
		s.inDialog(tx, req)
		return
	}
	switch req.Method() {
	case sip.Invite:
		s.onInvite(tx, req)
	case sip.Options:
		s.onOptions(tx, req)
	case sip.Cancel:
		// It matched no transaction; the INVITE may have been refused without state.
		s.answerStateless(tx, req, 481)
	case sip.Bye, sip.Update, sip.Info, sip.Prack:
		s.answerStateless(tx, req, 481) // these live inside of dialogs only
	default:
		s.onOther(tx, req)
	}
}

// Ack implements transaction.Core.
func (s *Server) Ack(f transport.Flow, ack *sip.Message) {
	defer s.survive(nil, ack)
	if l := s.legOf(ack); l != nil {
		l.call.postAck(l, f, ack)
	}
}

// Stray implements transaction.Core. A 2xx that outlived its transaction belongs to a call that is long over: its
// sender gives up when no ACK comes.
func (s *Server) Stray(transport.Flow, *sip.Message) { s.stats.Strays.Add(1) }

// legOf finds the leg an in-dialog message belongs to.
func (s *Server) legOf(m *sip.Message) *leg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialogs[string(m.To().Tag())]
}

func (s *Server) addDialog(tag string, l *leg) {
	s.mu.Lock()
	s.dialogs[tag] = l
	s.mu.Unlock()
}

func (s *Server) dropDialog(tag string) {
	s.mu.Lock()
	delete(s.dialogs, tag)
	s.mu.Unlock()
}

// mergeKey identifies a request across the branches of a proxy that forked it (RFC 3261 §8.2.2.2).
type mergeKey struct {
	callID, fromTag string
	seq             uint32
}

func keyOf(req *sip.Message) mergeKey {
	return mergeKey{string(req.CallID()), string(req.From().Tag()), req.CSeq()}
}

// lockedRand draws for many goroutines from one generator.
type lockedRand struct {
	mu  sync.Mutex
	rng *rand.Rand
	src io.Reader
}

func (r *lockedRand) seed(src io.Reader) error {
	var seed [32]byte
	if _, err := io.ReadFull(src, seed[:]); err != nil {
		return err
	}
	r.src, r.rng = src, rand.New(rand.NewChaCha8(seed))
	return nil
}

// Read implements io.Reader.
func (r *lockedRand) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return io.ReadFull(r.src, b)
}

// token returns n octets of randomness in hex: 16 octets make a tag or Call-ID nobody can guess.
func (r *lockedRand) token(n int) string {
	const digits = "0123456789abcdef"
	r.mu.Lock()
	defer r.mu.Unlock()
	b := make([]byte, 2*n)
	for i := 0; i < len(b); i += 16 {
		v := r.rng.Uint64()
		for j := i; j < min(i+16, len(b)); j++ {
			b[j] = digits[v&15]
			v >>= 4
		}
	}
	return string(b)
}

// chooser returns what the order of routes depends on, now.
func (s *Server) chooser(now time.Time) routing.Chooser {
	s.random.mu.Lock()
	defer s.random.mu.Unlock()
	return routing.Chooser{
		Random: rand.New(rand.NewPCG(s.random.rng.Uint64(), s.random.rng.Uint64())),
		Failed: func(t routing.Target) bool { return !s.failures.none() && s.failures.failed(t.String(), now) },
	}
}
