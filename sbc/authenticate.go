package sbc

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/trunk"
)

// authenticate checks the digest credentials of a connector that has any (RFC 7616, RFC 8760).
func authenticate(s *Server, a *arrival) *call.Refusal {
	if !a.screening.NeedCredentials {
		return nil
	}
	if s.lockouts.locked(a.facts.Source, a.at) {
		return call.Refuse(call.ReasonCredentialsWrong, "too many wrong ones came from this address")
	}
	c := a.connector
	algorithms := algorithmsOf(c)
	result := s.cfg.Digest.Check(&digest.Request{
		Method: string(a.req.MethodToken()), URI: a.req.RequestURI(), Source: a.facts.Source,
		Realm: c.HostName, Algorithms: algorithms, Credentials: credentialsOf(a.req),
	}, func(user string) (digest.HA1, bool) { return findHA1(c, user) })
	switch result.Outcome {
	case digest.OK:
		a.user, a.proven = result.User, true
		s.lockouts.forgive(a.facts.Source)
		return nil
	case digest.Wrong:
		s.lockouts.blame(a.facts.Source, a.at)
	}
	challenge, err := s.cfg.Digest.Challenges(a.facts.Source, c.HostName, algorithms, result.Outcome == digest.Stale)
	if err != nil {
		s.log.Error("make a challenge", "error", err)
		return call.Refuse(call.ReasonInternal, "")
	}
	a.challenge = challenge
	if result.Outcome == digest.Wrong {
		return call.Refuse(call.ReasonCredentialsWrong, string(result.Why))
	}
	return call.Refuse(call.ReasonCredentialsRequired, "")
}

func algorithmsOf(c *trunk.Connector) []digest.Algorithm {
	modes := c.Settings.DigestModes()
	algorithms := make([]digest.Algorithm, 0, len(modes))
	for _, m := range modes {
		if m == trunk.DigestSHA256 {
			algorithms = append(algorithms, digest.SHA256)
		} else {
			algorithms = append(algorithms, digest.MD5)
		}
	}
	return algorithms
}

// credentialsOf returns the credentials a client sent: we challenge as a proxy does, but some phones answer as to a
// server.
func credentialsOf(req *sip.Message) [][]byte {
	var found [][]byte
	for f := range req.Fields() {
		if f.ID == sip.HdrProxyAuthorization || f.ID == sip.HdrAuthorization {
			found = append(found, f.Value)
		}
	}
	return found
}

func findHA1(c *trunk.Connector, user string) (ha1 digest.HA1, ok bool) {
	i, found := slices.BinarySearchFunc(c.Credentials, user, func(cr trunk.Credential, user string) int {
		return strings.Compare(cr.Username, user)
	})
	if !found {
		return ha1, false
	}
	_, err := hex.Decode(ha1.MD5[:], []byte(c.Credentials[i].MD5.Reveal()))
	if err == nil {
		_, err = hex.Decode(ha1.SHA256[:], []byte(c.Credentials[i].SHA256.Reveal()))
	}
	return ha1, err == nil
}

// Bounds of lockouts.
const (
	// maxLockouts is the most sources remembered; above it the oldest are forgotten, so a flood of forged sources
	// costs a fixed amount of memory.
	maxLockouts = 4096
	// freeMistakes is how often a source may be wrong before it is locked out.
	freeMistakes = 5
	// firstLockout doubles with every further mistake up to longestLockout.
	firstLockout   = time.Second
	longestLockout = 5 * time.Minute
)

// lockouts keeps sources that sent wrong credentials from guessing on.
type lockouts struct {
	mu sync.Mutex
	by map[netip.Addr]lockout
}

type lockout struct {
	mistakes int
	until    time.Time
	last     time.Time
}

func (l *lockouts) locked(src netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.by[src].until)
}

func (l *lockouts) forgive(src netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, src)
}

func (l *lockouts) blame(src netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[netip.Addr]lockout)
	}
	entry, known := l.by[src]
	if !known && len(l.by) >= maxLockouts {
		l.evict(now)
	}
	if now.Sub(entry.last) > longestLockout {
		entry.mistakes = 0
	}
	entry.mistakes++
	entry.last = now
	if over := entry.mistakes - freeMistakes; over > 0 {
		wait := longestLockout
		if over < 10 {
			wait = min(firstLockout<<(over-1), longestLockout)
		}
		entry.until = now.Add(wait)
	}
	l.by[src] = entry
}

// evict makes room: everything expired goes, and if nothing is, the entry that was wrong the longest time ago.
func (l *lockouts) evict(now time.Time) {
	var oldest netip.Addr
	for src, entry := range l.by {
		if now.Sub(entry.last) > longestLockout {
			delete(l.by, src)
		} else if !oldest.IsValid() || entry.last.Before(l.by[oldest].last) {
			oldest = src
		}
	}
	if len(l.by) >= maxLockouts {
		delete(l.by, oldest)
	}
}
