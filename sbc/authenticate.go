package sbc

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/trunk"
)

// lockedOut is why credentials are not even looked at.
const lockedOut = "too many wrong ones came from this address"

// authenticate checks the digest credentials of a connector that has any (RFC 7616, RFC 8760).
func authenticate(s *Server, a *arrival) *call.Refusal {
	if !a.screening.NeedCredentials {
		return nil
	}
	c := a.connector
	algorithms := algorithmsOf(c)
	result := digest.Result{Outcome: digest.Wrong, Why: lockedOut}
	who := newGuesser(a.facts.Source, c.ID)
	if !s.lockouts.locked(who, a.at) {
		result = s.cfg.Digest.Check(&digest.Request{
			Method: string(a.req.MethodToken()), URI: a.req.RequestURI(), Source: a.facts.Source,
			Realm: c.HostName, Algorithms: algorithms, Credentials: credentialsOf(a.req),
		}, func(user string) (digest.HA1, bool) { return findHA1(c, user) })
		// A datagram's source may be forged, to have somebody else locked out. Who answers a nonce of ours got it there.
		if result.Outcome == digest.Wrong && (a.flow.Proto().Reliable() || result.Why == digest.WhyPassword) {
			s.lockouts.blame(who, a.at)
		}
	}
	if result.Outcome == digest.OK {
		a.user, a.standing = result.User, proven
		s.lockouts.forgive(who)
		s.challenged.cameBack(a.req)
		return nil
	}
	challenge, err := s.cfg.Digest.Challenges(a.facts.Source, c.HostName, algorithms, result.Outcome == digest.Stale)
	if err != nil {
		s.log.Error("make a challenge", "error", err)
		return call.Refuse(call.ReasonInternal, "")
	}
	a.challenge = challenge
	if result.Outcome == digest.Wrong {
		s.challenged.cameBack(a.req)
		return wrongCredentials(result.Why, algorithms)
	}
	return call.Refuse(call.ReasonCredentialsRequired, "")
}

// wrongCredentials says what is wrong with credentials. Whether the user or the password is, stays unsaid.
func wrongCredentials(why digest.Why, algorithms []digest.Algorithm) *call.Refusal {
	r := call.Refuse(call.ReasonCredentialsWrong, string(why))
	switch why {
	case digest.WhyPassword:
		r.Detail = "the user is unknown or the password another"
	case digest.WhyURI:
		r.Detail = "their uri is not the one that was called"
		r.Fix = "Have the phone put the user and host of the Request-URI into the digest's uri (SIPp: -auth_uri NUMBER@HOST)."
	case digest.WhyAlgorithm:
		names := make([]string, 0, len(algorithms))
		for _, a := range algorithms {
			names = append(names, a.String())
		}
		r.Detail = "their algorithm is not one that was offered, which are " + strings.Join(names, " and ")
		r.Fix = "Have the phone take one that is, or offer another: carillon connector set ID digest=ALGORITHMS."
	case digest.WhyForm:
		r.Detail = "they lack qop=auth with a cnonce and an eight-digit nc, or hide the user name"
		r.Fix = "Have the phone answer as RFC 7616 says."
	case digest.WhyMalformed:
		r.Detail = "they cannot be read"
		r.Fix = "Have the phone answer as RFC 7616 says."
	case lockedOut:
		r.Fix = "Correct user and password, and wait " + strconv.Itoa(int(longestLockout/time.Minute)) + " minutes at most."
	}
	return r
}

func authenticateUnlisted(s *Server, a *arrival) *call.Refusal {
	if a.screening.Listed {
		return nil
	}
	return authenticate(s, a)
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
