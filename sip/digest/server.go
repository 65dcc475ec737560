package digest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"carillon/clock"
	"carillon/sip"
)

// Defaults of ServerConfig.
const (
	DefaultNonceLife = 2 * time.Minute // longer than any INVITE's retransmissions; the client re-challenged after it is not refused
	DefaultMaxNonces = 1 << 18         // about 2,000 new nonces a second for a whole life; some 30 MB when full
	MinKeyLen        = 32              // octets
)

// ServerConfig is what a Server is built from.
type ServerConfig struct {
	Key       []byte        // installation key, at least MinKeyLen octets, the same on every node
	Clock     clock.Clock   // nil: the system's
	Rand      io.Reader     // randomness for nonces, for instance crypto/rand.Reader
	NonceLife time.Duration // 0: DefaultNonceLife
	MaxNonces int           // bound of the replay table; 0: DefaultMaxNonces
}

// Server issues challenges and checks what answers them. It is safe for concurrent use.
type Server struct {
	tags    *tagger
	clock   clock.Clock
	random  io.Reader
	life    time.Duration
	dummy   HA1
	replays *replays
	stats   struct{ ok, none, stale, replayed, wrong atomic.Uint64 }
}

// NewServer checks cfg and builds a Server.
func NewServer(cfg ServerConfig) (*Server, error) {
	if len(cfg.Key) < MinKeyLen {
		return nil, fmt.Errorf("digest key has %d octets, want at least %d", len(cfg.Key), MinKeyLen)
	}
	if cfg.Rand == nil {
		return nil, errors.New("digest server needs a source of randomness")
	}
	if cfg.NonceLife < 0 || cfg.MaxNonces < 0 {
		return nil, errors.New("digest limits must not be negative")
	}
	s := &Server{tags: newTagger(slices.Clone(cfg.Key)), dummy: newDummy(cfg.Key), clock: cfg.Clock, random: cfg.Rand, life: cfg.NonceLife}
	if s.clock == nil {
		s.clock = clock.System()
	}
	if s.life == 0 {
		s.life = DefaultNonceLife
	}
	if cfg.MaxNonces == 0 {
		cfg.MaxNonces = DefaultMaxNonces
	}
	s.replays = newReplays(cfg.MaxNonces)
	return s, nil
}

// Challenges returns one WWW-Authenticate or Proxy-Authenticate value for each algorithm, in the order given (RFC 8760
// §2.3: a client takes the topmost it knows). All share one nonce. stale tells a client whose password was right that it
// only needs the new nonce.
func (s *Server) Challenges(source netip.Addr, realm string, algorithms []Algorithm, stale bool) ([]string, error) {
	nonce, err := s.tags.mint(s.random, s.clock.Now(), source)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(algorithms))
	for i, alg := range algorithms {
		c := Challenge{Realm: realm, Nonce: nonce, Algorithm: alg.String(), QOP: "auth", Stale: stale}
		values[i] = string(c.AppendTo(make([]byte, 0, 160)))
	}
	return values, nil
}

// Request is what one check needs to know of a SIP request.
type Request struct {
	Method     string      // as on the wire
	URI        *sip.URI    // Request-URI
	Source     netip.Addr  // where the request came from
	Realm      string      // the realm we would challenge with
	Algorithms []Algorithm // the algorithms we would challenge with; credentials under another are refused
	// Credentials are the Authorization or Proxy-Authorization fields, whole lines: one carries one set (RFC 3261 §20.7,
	// §20.28), never a comma-separated list of them.
	Credentials [][]byte
}

// Lookup finds the HA1 of a user within the request's realm.
type Lookup func(user string) (HA1, bool)

// Outcome is how a check ended. None is an error: all but OK are answered with a challenge.
type Outcome uint8

// The outcomes.
const (
	NoCredentials Outcome = iota // none for our realm
	OK
	Stale // the nonce is not ours, or the password was right but the nonce has expired or its count was used before: challenge with stale=true
	Wrong
)

// String is the outcome as a metric label.
func (o Outcome) String() string {
	switch o {
	case NoCredentials:
		return "none"
	case OK:
		return "ok"
	case Stale:
		return "stale"
	case Wrong:
		return "wrong"
	}
	return "unknown"
}

// Why is the reason of a Wrong or Stale outcome, for counters and sampled logs; the peer is told none of it.
type Why string

// The reasons.
const (
	WhyMalformed Why = "malformed" // no Digest value, or one ParseCredentials refuses
	WhyForm      Why = "form"      // qop missing or not "auth", no cnonce, bad nc, userhash
	WhyAlgorithm Why = "algorithm" // not among those we asked for
	WhyURI       Why = "uri"       // digest-uri names another target than the Request-URI
	WhyPassword  Why = "password"  // unknown user or wrong response: not told apart
	WhyExpired   Why = "expired"   // Stale: the nonce is ours but too old
	WhyNonce     Why = "nonce"     // Stale: the nonce was not issued by this installation to this address; the password was not looked at
	WhyReplay    Why = "replay"    // Stale: this nonce count was used, or the table has forgotten the nonce
)

// Result is the outcome of a check.
type Result struct {
	Outcome   Outcome   // what to do with the request
	User      string    // the authenticated user; set only with OK
	Algorithm Algorithm // set only with OK
	Why       Why       // "" with OK and NoCredentials
}

// Check judges a request's credentials (RFC 7616 §3.4.6, RFC 3261 §22.3). Credentials for other realms belong to other
// servers and are passed over; of several for ours the first decides.
//
// Whether the nonce is ours is judged before the response: WhyPassword is then said only of a sender that got the nonce at
// its address, so nobody can be blamed for guesses that came under a forged one, and guesses under a made-up nonce learn
// nothing. Its age and count are judged after, so that "stale" tells a guesser nothing either, and an unknown user costs
// the same time as a known one. ACK and CANCEL carry the credentials of their INVITE and cannot be challenged,
// so their nonce count is not looked at (RFC 3261 §22.1).
func (s *Server) Check(r *Request, lookup Lookup) Result {
	res := s.check(r, lookup)
	switch {
	case res.Outcome == OK:
		s.stats.ok.Add(1)
	case res.Outcome == NoCredentials:
		s.stats.none.Add(1)
	case res.Why == WhyReplay:
		s.stats.replayed.Add(1)
	case res.Outcome == Stale:
		s.stats.stale.Add(1)
	default:
		s.stats.wrong.Add(1)
	}
	return res
}

func (s *Server) check(r *Request, lookup Lookup) Result {
	malformed := false
	for _, value := range r.Credentials {
		c, err := ParseCredentials(value)
		if errors.Is(err, ErrScheme) {
			continue // Basic, Bearer: not ours to judge
		}
		if err != nil {
			malformed = true
			continue
		}
		if c.Realm == r.Realm {
			return s.judge(r, &c, lookup)
		}
	}
	if malformed {
		return wrong(WhyMalformed)
	}
	return Result{}
}

func (s *Server) judge(r *Request, c *Credentials, lookup Lookup) Result {
	nc, formed := c.wellFormed()
	if !formed {
		return wrong(WhyForm)
	}
	alg, known := ParseAlgorithm(c.Algorithm)
	if !known || !slices.Contains(r.Algorithms, alg) {
		return wrong(WhyAlgorithm)
	}
	target, err := sip.ParseURI([]byte(c.URI))
	if err != nil || !SameTarget(&target, r.URI) {
		return wrong(WhyURI)
	}
	nonce, ours := s.tags.open(c.Nonce, r.Source)
	if !ours {
		return stale(WhyNonce)
	}
	ha1, found := lookup(c.Username)
	if !found { // the same work for a user who does not exist, so that time does not tell which names do
		ha1 = s.dummy
	}
	in := input{alg: alg, method: r.Method, uri: c.URI, nonce: c.Nonce, qop: c.QOP, nc: c.NC, cnonce: c.CNonce}
	var room [2 * sha256.Size]byte
	if !sameResponse(in.appendResponse(room[:0], &ha1), c.Response) || !found {
		return wrong(WhyPassword)
	}
	now := s.clock.Now()
	// A node whose clock is ahead of ours issues nonces from our future; they get the same span.
	if age := now.Sub(nonce.issued()); age > s.life || age < -s.life {
		return stale(WhyExpired)
	}
	if r.Method != "ACK" && r.Method != "CANCEL" && !s.replays.use(nonce, nc, now.Add(-s.life)) {
		return stale(WhyReplay)
	}
	return Result{Outcome: OK, User: strings.Clone(c.Username), Algorithm: alg} // not a part of the header that lives as long as the call
}

// wellFormed checks what qop=auth needs (RFC 7616 §3.4) and reads the nonce count.
func (c *Credentials) wellFormed() (nc uint32, ok bool) {
	if c.UserHash || c.QOP != "auth" || c.CNonce == "" || len(c.NC) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(c.NC, 16, 32)
	return uint32(n), err == nil && n > 0
}

// sameResponse compares the whole response in constant time. Its length is public: it follows from the algorithm, and a
// truncated response never matches.
func sameResponse(want []byte, got string) bool {
	var a, b [sha256.Size]byte
	if len(got) != len(want) {
		return false
	}
	n, err := hex.Decode(a[:], []byte(got)) // takes capitals too; some phones send them
	if err != nil {
		return false
	}
	hex.Decode(b[:], want)
	return subtle.ConstantTimeCompare(a[:n], b[:n]) == 1
}

// newDummy makes the HA1 that stands in for users who do not exist. Nobody can know a password for it.
func newDummy(key []byte) (ha1 HA1) {
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, "carillon digest no such user\x00")
	mac.Sum(ha1.SHA256[:0])
	copy(ha1.MD5[:], ha1.SHA256[:])
	return ha1
}

func wrong(why Why) Result { return Result{Outcome: Wrong, Why: why} }
func stale(why Why) Result { return Result{Outcome: Stale, Why: why} }

// Stats are counters since the start, and the fill of the replay table now.
type Stats struct {
	OK            uint64 // checks that let the request in
	NoCredentials uint64 // checks without credentials for our realm
	Stale         uint64 // nonce not ours, or right password and nonce expired
	Replayed      uint64 // right password, nonce count used before or nonce forgotten
	Wrong         uint64 // every other refusal
	Nonces        int    // entries in the replay table
	Evicted       uint64 // nonces that left the table before they expired, for want of room
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	nonces, evicted := s.replays.usage()
	return Stats{
		OK: s.stats.ok.Load(), NoCredentials: s.stats.none.Load(), Stale: s.stats.stale.Load(),
		Replayed: s.stats.replayed.Load(), Wrong: s.stats.wrong.Load(), Nonces: nonces, Evicted: evicted,
	}
}
