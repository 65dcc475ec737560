package digest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Errors of Client.Answer.
var (
	// ErrNoChallenge: none of the challenges uses an algorithm and a qop this package computes.
	ErrNoChallenge = errors.New("no digest challenge we can answer")
	// ErrRejected: the server refused an answer to a challenge for this realm with a challenge that is not stale: the
	// password is wrong, and trying again would only lock us out.
	ErrRejected = errors.New("digest credentials rejected")
)

// ClientConfig is what a Client is built from.
type ClientConfig struct {
	Username string
	Password string    // in the clear: the realm is known only with the challenge
	Rand     io.Reader // randomness for client nonces, for instance crypto/rand.Reader
}

// Client answers the challenges of one peer (a carrier) with one user name and password. It remembers the last nonce, so
// that later requests can carry credentials at once. It is safe for concurrent use.
type Client struct {
	user, password string
	random         io.Reader

	mu   sync.Mutex
	last session
}

// session is the challenge in use. One is enough: a carrier account has one realm.
type session struct {
	challenge Challenge
	alg       Algorithm
	qop       string
	nc        uint32
	ha1       HA1
}

// NewClient builds a Client. Rand must not be nil.
func NewClient(cfg ClientConfig) *Client {
	return &Client{user: cfg.Username, password: cfg.Password, random: cfg.Rand}
}

// Answer builds the Authorization or Proxy-Authorization value for a request that was answered with values, the
// WWW-Authenticate or Proxy-Authenticate fields, whole lines. uri is the Request-URI exactly as it will be sent.
// retry says that the challenged request carried credentials already: then only a stale=true challenge is answered
// (RFC 3261 §22.2), anything else gives ErrRejected.
//
// Of several challenges the strongest known algorithm is taken and, among equals, the topmost (RFC 8760 §2.4 leaves the
// choice to local policy). Values that cannot be read are passed over.
func (c *Client) Answer(values [][]byte, method, uri string, retry bool) (string, error) {
	best, ok := choose(values)
	if !ok {
		return "", ErrNoChallenge
	}
	if retry && !best.challenge.Stale {
		return "", ErrRejected
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.challenge.Nonce == best.challenge.Nonce && c.last.challenge.Realm == best.challenge.Realm && c.last.alg == best.alg {
		best.nc = c.last.nc // the same nonce again: its count goes on (RFC 7616 §3.4)
	}
	best.ha1 = NewHA1(c.user, best.challenge.Realm, c.password)
	c.last = best
	return c.credentials(method, uri)
}

// Next builds credentials for a further request under the last challenge answered, with the next nonce count. It gives
// false before the first challenge.
func (c *Client) Next(method, uri string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.alg == 0 {
		return "", false
	}
	value, err := c.credentials(method, uri)
	return value, err == nil
}

// credentials spends one nonce count; c.mu is held.
func (c *Client) credentials(method, uri string) (string, error) {
	s := &c.last
	in := input{alg: s.alg, method: method, uri: uri, nonce: s.challenge.Nonce, qop: s.qop}
	if s.qop != "" {
		var random [8]byte
		if _, err := io.ReadFull(c.random, random[:]); err != nil {
			return "", fmt.Errorf("draw client nonce: %w", err)
		}
		s.nc++
		in.cnonce = hex.EncodeToString(random[:])
		in.nc = fmt.Sprintf("%08x", s.nc)
	}
	out := Credentials{
		Username: c.user, Realm: s.challenge.Realm, Nonce: in.nonce, URI: uri, Opaque: s.challenge.Opaque,
		CNonce: in.cnonce, QOP: in.qop, NC: in.nc,
		Response: string(in.appendResponse(nil, &s.ha1)),
	}
	if s.challenge.Algorithm != "" { // an absent algorithm stays absent: old servers know no other
		out.Algorithm = s.alg.String()
	}
	return string(out.AppendTo(make([]byte, 0, 320))), nil
}

func choose(values [][]byte) (best session, ok bool) {
	for _, v := range values {
		ch, err := ParseChallenge(v)
		if err != nil || ch.Nonce == "" {
			continue
		}
		alg, known := ParseAlgorithm(ch.Algorithm)
		qop, usable := chooseQOP(ch.QOP)
		if known && usable && alg > best.alg {
			best, ok = session{challenge: ch, alg: alg, qop: qop}, true
		}
	}
	return best, ok
}

// chooseQOP takes "auth" from the offered list. No list at all is the RFC 2069 form, which old carriers still send.
func chooseQOP(offered string) (qop string, ok bool) {
	if offered == "" {
		return "", true
	}
	for q := range strings.SplitSeq(offered, ",") {
		if strings.EqualFold(strings.TrimSpace(q), "auth") {
			return "auth", true
		}
	}
	return "", false
}
