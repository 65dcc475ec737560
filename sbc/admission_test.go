package sbc

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/sip/transport"
	"carillon/trunk"
)

// credentials answers the challenges of a 407 as a phone does.
func credentials(t testing.TB, challenge *sip.Message, method, uri, user, password string) string {
	t.Helper()
	var values [][]byte
	for f := range challenge.Fields() {
		if f.ID == sip.HdrProxyAuthenticate {
			values = append(values, f.Value)
		}
	}
	value, err := digest.NewClient(digest.ClientConfig{Username: user, Password: password, Rand: rand.Reader}).Answer(values, method, uri, false)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func (a *agent) withCredentials(challenge *sip.Message, user, password string) {
	a.r.t.Helper()
	a.again("Proxy-Authorization: " + credentials(a.r.t, challenge, "INVITE", a.req.URI, user, password))
}

func TestDigest(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
		scenario(t, onlyCredentials, func(r *rig) {
			tel := r.tel()
			caller := r.phone(proto, strangerIP).outboundCall(strings.Repeat(sdpPlainOver(proto)+" ", 40)).start()
			challenge := caller.refused("407")
			if n := challenge.Count(sip.HdrProxyAuthenticate); n != 2 {
				t.Errorf("%d challenges, want MD5 and SHA-256", n)
			}
			if got := string(challenge.Get(sip.HdrProxyAuthenticate)); !strings.Contains(got, `realm="`+host+`"`) || !strings.Contains(got, "MD5") {
				t.Errorf("first challenge %s", got)
			}
			caller.withCredentials(challenge, "alice", "secret")
			caller.want("100")
			target := tel.ring()
			target.answer(200, sdpPlain)
			tel.want("ACK")
			caller.answered()
			caller.ack("")
			hangUp(caller, target)
			if got := r.wantRecord(call.ReasonHangup, 200, "customer"); got.AuthUser != "alice" {
				t.Errorf("AuthUser is %q", got.AuthUser)
			}
			for _, secret := range []string{"secret", "alice", host} {
				if strings.Contains(tel.everything(), secret) {
					t.Errorf("the carrier saw %q", secret)
				}
			}
		})
	}
}

// A short datagram gets as many challenges as it is long enough for.
func TestChallengesThatFit(t *testing.T) {
	for length, want := range map[int]int{200: 1, 600: 2} {
		scenario(t, onlyCredentials, func(r *rig) {
			caller := r.phone(transport.UDP, strangerIP).outboundCall(strings.Repeat("x", length)).start()
			m := caller.want("407")
			if got := m.Count(sip.HdrProxyAuthenticate); got != want || len(m.Bytes()) > len(caller.req.Bytes()) {
				t.Errorf("%d challenges in %d octets for a request of %d, want %d", got, len(m.Bytes()), len(caller.req.Bytes()), want)
			}
		})
	}
}

// The list and the credentials must both pass where both are set.
func TestListAndCredentials(t *testing.T) {
	scenario(t, func(w *world) { w.withCredentials("alice", "secret") }, func(r *rig) {
		stranger := r.phone(transport.TLS, strangerIP).outboundCall(sdpSecure).start()
		stranger.refused("403")
		caller := r.customer(transport.TLS).outboundCall(sdpSecure).start()
		challenge := caller.refused("407")
		caller.withCredentials(challenge, "alice", "wrong")
		challenge = caller.refused("407")
		if got := r.record(); got.Reason != "credentials_wrong" || got.Status != 407 {
			t.Errorf("record %+v", got)
		}
		caller.withCredentials(challenge, "mallory", "secret")
		caller.refused("407")
	})
}

// A source that guesses is locked out for growing times; others are not, and its own good password counts again later.
func TestLockout(t *testing.T) {
	scenario(t, onlyCredentials, func(r *rig) {
		tel := r.tel()
		phone := r.phone(transport.TLS, strangerIP)
		guess := func(password string) *agent {
			a := phone.outboundCall(sdpSecure).start()
			a.withCredentials(a.refused("407"), "alice", password)
			return a
		}
		for range freeMistakes + 1 {
			guess("wrong").refused("407")
		}
		good := guess("secret")
		if m := good.refused("407"); m.Count(sip.HdrProxyAuthenticate) == 0 {
			t.Error("a 407 without a challenge (RFC 3261 section 22.3)")
		}
		other := r.phone(transport.TLS, pbxIP).outboundCall(sdpSecure).start()
		other.withCredentials(other.refused("407"), "alice", "secret")
		other.want("100")
		busy(tel)
		other.refused("486")
		time.Sleep(firstLockout)
		good = guess("secret")
		good.want("100")
		busy(tel)
		good.refused("486")
	})
}

// Whoever forges a customer's address cannot have the customer locked out: it never gets a nonce.
func TestForgedGuessesLockNobodyOut(t *testing.T) {
	scenario(t, onlyCredentials, func(r *rig) {
		tel := r.tel()
		phone := r.phone(transport.UDP, strangerIP)
		body := strings.Repeat(sdpPlain+" ", 40)
		for i := range 3 * freeMistakes {
			uri := "sip:" + farNumber + "@" + host
			forged := []string{
				`Proxy-Authorization: Digest username="a`,
				fmt.Sprintf(`Proxy-Authorization: Digest username="alice",realm=%q,nonce="made-up-%d",uri=%q,qop=auth,nc=00000001,cnonce="c",algorithm=MD5,response="0123456789abcdef0123456789abcdef"`, host, i, uri),
				fmt.Sprintf(`Proxy-Authorization: Digest username="alice",realm=%q,nonce="n",uri="sip:x@y",qop=auth,nc=00000001,cnonce="c",algorithm=MD5,response="0123456789abcdef0123456789abcdef"`, host),
			}
			a := phone.outboundCall(body).start()
			a.refused("407")
			a.again(forged[i%len(forged)])
			a.refused("407")
		}
		good := phone.outboundCall(body).start()
		good.withCredentials(good.refused("407"), "alice", "secret")
		good.want("100")
		busy(tel)
		good.refused("486")
	})
}

// A good password at one connector buys no further guesses at another.
func TestOwnPasswordDoesNotForgiveElsewhere(t *testing.T) {
	scenario(t, func(w *world) {
		onlyCredentials(w)
		w.other.Termination.CidrAllowedList = nil
		ha1 := digest.NewHA1("mallory", otherHost, "hers")
		w.other.Credentials = []trunk.Credential{{
			Username: "mallory", Realm: otherHost, MD5: trunk.NewSecret(fmt.Sprintf("%x", ha1.MD5)), SHA256: trunk.NewSecret(fmt.Sprintf("%x", ha1.SHA256)),
		}}
	}, func(r *rig) {
		phone := r.phone(transport.TLS, strangerIP)
		options := func(at, user, password, want string) {
			t.Helper()
			a := phone.dial("sip:"+at, "ping", "")
			a.req.Method = "OPTIONS"
			challenge := a.start().want("407")
			a.again("Proxy-Authorization: " + credentials(t, challenge, "OPTIONS", a.req.URI, user, password))
			a.want(want)
		}
		for range freeMistakes + 1 {
			options(host, "alice", "wrong", "407")
			options(otherHost, "mallory", "hers", "200")
		}
		options(host, "alice", "secret", "407") // locked out
		options(otherHost, "mallory", "hers", "200")
	})
}

// Forged datagrams keep a few calls of one connector waiting for an ACK, and no more; connections and other connectors
// are not held to it.
func TestUnprovenCallsAreBounded(t *testing.T) {
	const limit = 3
	change := func(w *world) { w.limits.Unproven = limit }
	for name, dial := range map[string]func(*rig, transport.Proto) *agent{
		"customer": func(r *rig, p transport.Proto) *agent { return r.customer(p).outboundCall(sdpPlainOver(p)) },
		"carrier":  func(r *rig, p transport.Proto) *agent { return r.phone(p, carrierIP).inboundCall(sdpPlain) },
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, change, func(r *rig) {
				target := r.tel()
				if name == "carrier" {
					target = r.peer(transport.UDP, pbxIP+":5060")
				}
				var calls []*agent
				for range limit {
					a := dial(r, transport.UDP).start()
					a.want("100")
					calls = append(calls, a)
				}
				legs := []*agent{target.ring(), target.ring(), target.ring()}
				more := dial(r, transport.UDP).start("X-Pad: " + strings.Repeat("x", 600))
				if m := more.want("503"); !strings.Contains(string(m.Lookup("Warning")), "ACK") {
					t.Errorf("refused with %s", m.Bytes())
				}
				over := dial(r, transport.TCP).start()
				over.want("100")
				busy(target)
				over.refused("486")

				legs[0].answer(200, sdpPlain)
				target.want("ACK")
				calls[0].answered()
				calls[0].ack("")
				synctest.Wait()
				again := dial(r, transport.UDP).start()
				again.want("100")
				busy(target)
				again.refused("486")
				hangUp(calls[0], legs[0])
				for i, leg := range legs[1:] {
					leg.answer(486, "")
					target.want("ACK")
					calls[1+i].refused("486")
				}
			})
		})
	}
}

// busy has a peer refuse the call that rings.
func busy(p *peer) {
	p.r.t.Helper()
	p.ring().answer(486, "")
	p.want("ACK")
}

func TestLockoutsGrowAndAreBounded(t *testing.T) {
	var l lockouts
	now := time.Unix(1000, 0)
	from := func(text string) guesser { return newGuesser(netip.MustParseAddr(text), connectorID) }
	v6, neighbour, elsewhere := from("2001:db8::1"), from("2001:db8::2"), from("2001:db8:0:1::1")
	wait := func() (d time.Duration) {
		for l.locked(v6, now.Add(d)) {
			d += 500 * time.Millisecond
		}
		return d
	}
	for i, want := range []time.Duration{0, 0, 0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		l.blame(v6, now)
		if got := wait(); got != want {
			t.Errorf("after %d mistakes it is locked out for %v, want %v", i+1, got, want)
		}
	}
	if !l.locked(neighbour, now) {
		t.Error("an address of the same /64 is not locked out")
	}
	if l.locked(elsewhere, now) {
		t.Error("an address of another /64 is locked out")
	}
	if l.locked(newGuesser(v6.source, otherID), now) {
		t.Error("it is locked out at a connector where it guessed nothing")
	}
	for range 20 {
		l.blame(v6, now)
	}
	if got := wait(); got != longestLockout {
		t.Errorf("the longest lockout is %v, want %v", got, longestLockout)
	}
	for i := range maxLockouts + 10 {
		l.blame(guesser{source: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, now.Add(time.Duration(i)))
	}
	if len(l.by) != maxLockouts {
		t.Errorf("%d sources are remembered, want %d", len(l.by), maxLockouts)
	}
	if l.locked(v6, now) {
		t.Error("the oldest entry was not the one to go")
	}
	l.blame(v6, now)
	l.forgive(v6)
	if l.locked(v6, now) || l.by[v6].mistakes != 0 {
		t.Error("it was not forgiven")
	}
}

// awaited is how many callers got a challenge and are waited for: of those that a record is kept of, and strangers.
func (r *rig) awaited() (known, strangers int) {
	u := &r.sbc.challenged
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.by), len(u.strangers)
}

// A phone without a password gets a record, so that its owner finds out.
func TestCredentialsNeverSent(t *testing.T) {
	listed := func(w *world) { w.withCredentials("alice", "secret") }
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP} {
		scenario(t, listed, func(r *rig) {
			caller := r.customer(proto).outboundCall(strings.Repeat(sdpPlain, 50)).start()
			caller.refused("407")
			time.Sleep(10 * time.Second)
			caller.send(caller.req.Bytes()) // it repeats itself
			caller.clear()
			time.Sleep(comeBackTime - 10*time.Second - time.Millisecond)
			r.noRecord()
			time.Sleep(time.Millisecond)
			got := r.wantRecord(call.ReasonCredentialsNeverSent, 407, "")
			if got.To != farNumber || got.From != ownNumber || got.Fix == "" || got.End.Sub(got.Start) != comeBackTime || r.sbc.Stats().Refused(call.ReasonCredentialsNeverSent) != 1 {
				t.Errorf("record %+v", got)
			}
		})
	}
	scenario(t, listed, func(r *rig) { // one that comes back has the record of its call
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
		caller.withCredentials(caller.refused("407"), "alice", "secret")
		caller.want("100")
		busy(tel)
		caller.refused("486")
		time.Sleep(time.Minute)
		r.wantRecord(call.ReasonRemoteRefused, 486, "carrier")
	})
	scenario(t, onlyCredentials, func(r *rig) { // a stranger's is a scanner's, or a phone's: only the log has it
		var log lockedLog
		r.sbc.log = slog.New(slog.NewTextHandler(&log, nil))
		r.phone(transport.TCP, strangerIP).outboundCall(sdpPlain).start().refused("407")
		asks := r.phone(transport.TCP, strangerIP).outboundCall("")
		asks.req.Method = "OPTIONS"
		asks.send(asks.req.Bytes())
		asks.want("407")
		if got := log.String(); got != "" {
			t.Errorf("a challenge is logged: %q", got)
		}
		time.Sleep(time.Minute)
		r.noRecord()
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "reason=credentials_never_sent") || !strings.Contains(got, "to="+farNumber) {
			t.Errorf("the log says %q", got)
		}
	})
	scenario(t, onlyCredentials, func(r *rig) { // strangers who are too many to be waited for are logged at once
		var log lockedLog
		r.sbc.log = slog.New(slog.NewTextHandler(&log, nil))
		phone := r.phone(transport.TCP, strangerIP)
		for i := range maxChallenged + 1 {
			if phone.outboundCall(sdpPlain).start(); i%30 == 29 {
				time.Sleep(time.Second / 2)
			}
		}
		if _, n := r.awaited(); n != maxChallenged || r.sbc.Stats().Unrecorded.Load() != 0 {
			t.Errorf("%d strangers are waited for, want %d", n, maxChallenged)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "reason=credentials_required") {
			t.Errorf("the log says %q", got)
		}
	})
	scenario(t, listed, func(r *rig) { // shutdown does not lose it, and the table is bounded
		phone := r.customer(transport.TCP)
		for i := range maxChallenged + 5 {
			if phone.outboundCall(sdpPlain).start(); i%30 == 29 {
				time.Sleep(time.Second / 2)
			}
		}
		if n, _ := r.awaited(); n != maxChallenged {
			t.Errorf("%d callers are waited for, want %d", n, maxChallenged)
		}
		if n := r.sbc.Stats().Unrecorded.Load(); n != 5 {
			t.Errorf("%d are not recorded, want 5", n)
		}
		r.sbc.Drain(context.Background())
		known, _ := r.awaited()
		if n := len(r.records.list()); n != maxRefusalRecords || known != 0 {
			t.Errorf("%d records, %d still waited for", n, known)
		}
	})
}

func TestCPSLimit(t *testing.T) {
	scenario(t, func(w *world) { w.connector.Termination.CpsLimit = 2 }, func(r *rig) {
		tel := r.tel()
		phone := r.customer(transport.TLS)
		place := func(number string) *agent { return phone.dial("sip:"+number+"@"+host, ownNumber, sdpSecure).start() }
		accepted := func(number string) {
			t.Helper()
			a := place(number)
			a.want("100")
			busy(tel)
			a.refused("486")
		}
		accepted(farNumber)
		accepted(farNumber)
		if m := place(farNumber).refused("503"); m.Lookup("Retry-After") != nil {
			t.Error("Retry-After would silence other calls of the PBX")
		}
		accepted("911") // an emergency call passes
		time.Sleep(500 * time.Millisecond)
		accepted(farNumber)
		place(farNumber).refused("503")
		time.Sleep(20 * time.Second)
		accepted(farNumber)
		if n := len(r.sbc.rates.buckets); n != 1 {
			t.Errorf("%d buckets", n)
		}
	})
}

// Strangers cannot spend a customer's rate.
func TestStrangersSpendNoRate(t *testing.T) {
	scenario(t, func(w *world) { w.connector.Termination.CpsLimit = 1; onlyCredentials(w) }, func(r *rig) {
		for range 10 {
			r.phone(transport.TLS, strangerIP).outboundCall(sdpSecure).start().refused("407")
		}
		if len(r.sbc.rates.buckets) != 0 {
			t.Error("a stranger spent a call")
		}
	})
}

func TestConcurrency(t *testing.T) {
	quota := func(owner string, n int) func(*world) {
		return func(w *world) {
			w.more = []trunk.Entity{&trunk.Quota{Account: owner, Name: trunk.QuotaActiveCalls, Value: n}}
		}
	}
	scenario(t, quota(account, 1), func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		callee := connect(caller, tel, sdpPlain)
		r.customer(transport.UDP).outboundCall(sdpPlain).start().want("503")
		inbound := r.phone(transport.TCP, carrierIP).inboundCall(sdpPlain).start()
		inbound.refused("503")
		emergency := r.customer(transport.UDP).dial("sip:911@"+host, ownNumber, sdpPlain).start()
		emergency.want("100")
		busy(tel)
		emergency.refused("486")
		hangUp(caller, callee)
		again := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		again.want("100")
		busy(tel)
		again.refused("486")
	})
	// A call inside counts for the account at its other end.
	scenario(t, quota(otherAccount, 1), func(r *rig) {
		pbx := r.peer(transport.UDP, pbxIP+":5060")
		caller := r.customer(transport.TCP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain)
		callee := connect(caller, pbx, sdpPlain)
		if r.sbc.Active() != 1 {
			t.Errorf("%d calls are up, want 1", r.sbc.Active())
		}
		r.customer(transport.TCP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain).start().refused("503")
		hangUp(caller, callee)
	})
	scenario(t, func(w *world) { w.limits.Calls = 1 }, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain)
		callee := connect(caller, tel, sdpPlain)
		m := r.customer(transport.TCP).outboundCall(sdpPlain).start().refused("503")
		if m.Lookup("Retry-After") == nil || !strings.Contains(string(m.Lookup("Warning")), "1 calls are up") {
			t.Errorf("answer %s", m.Bytes())
		}
		hangUp(caller, callee)
	})
}

// What strangers write must not become lines, hosts or parameters of messages to others.
func TestInjection(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		pbx := r.peer(transport.UDP, pbxIP+":5060")
		for i, from := range []string{
			"a%0d%0aX-Evil:%201", "x%40evil.example", "x;transport=tcp", "x%3Fto=evil", "%22x%22", "%00", "a%3Ctag%3E", strings.Repeat("a", 300), "%25%30%64",
		} {
			a := r.phone(transport.TCP, carrierIP).dial("sip:"+ownNumber+"@"+nodeIP, from, sdpPlain).start(
				"X-Custom: fine", "X-Long: "+strings.Repeat("y", 3000), "X-After: dropped", "Subject: a\r\n folded: line")
			a.want("100")
			target := pbx.ring()
			m := target.invite
			uri := m.From().URI
			if m.Lookup("X-Evil") != nil || string(uri.Host) != domain || len(uri.Params) != 0 || len(uri.Headers) != 0 || len(uri.User) > 3*64 {
				t.Errorf("%d: From is %s", i, m.Get(sip.HdrFrom))
			}
			if string(m.Lookup("X-Custom")) != "fine" || m.Lookup("X-Long") != nil || m.Lookup("X-After") != nil {
				t.Errorf("%d: custom headers beyond the limit were passed on", i)
			}
			if m.Lookup("folded") != nil {
				t.Errorf("%d: a fold became a header", i)
			}
			// The answer to the caller, with a phrase and a Reason made to hurt.
			resp := fmt.Sprintf("SIP/2.0 486 Busy\tX-Evil: 1 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=x\r\nCall-ID: %s\r\nCSeq: %d INVITE\r\nReason: SIP ;cause=486\"x;text=\"a\\\"\r\n b\"\r\nContent-Length: 0\r\n\r\n",
				strings.Repeat("z", 120), m.Get(sip.HdrVia), m.Get(sip.HdrFrom), m.Get(sip.HdrTo), m.CallID(), m.CSeq())
			pbx.send([]byte(resp))
			pbx.clear()
			final := a.refused("486")
			if final.Lookup("X-Evil") != nil || len(final.Reason()) > 100 {
				t.Errorf("%d: the caller got %s", i, final.Bytes())
			}
		}
	})
}

// Who hides its number is anonymous to the called one; only a carrier may know it (RFC 3325).
func TestPrivacy(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		pbx, tel := r.peer(transport.UDP, pbxIP+":5060"), r.tel()
		inbound := r.phone(transport.TCP, carrierIP).dial("sip:"+ownNumber+"@"+nodeIP, "anonymous", sdpPlain).start(
			"P-Asserted-Identity: <sip:"+farNumber+"@tel.example>", "Privacy: id")
		inbound.want("100")
		target := pbx.ring()
		if strings.Contains(string(target.invite.Bytes()), farNumber) || string(target.invite.From().URI.User) != "anonymous" {
			t.Errorf("the customer got %s", target.invite.Bytes())
		}
		target.answer(486, "")
		pbx.want("ACK")
		inbound.refused("486")
		if got := r.record(); got.From != "anonymous" {
			t.Errorf("the record shows %q", got.From)
		}
		known := r.phone(transport.TCP, carrierIP).inboundCall(sdpPlain).start("Privacy: user")
		known.want("100")
		target = pbx.ring()
		if strings.Contains(string(target.invite.Bytes()), farNumber) {
			t.Errorf("the customer got %s", target.invite.Bytes())
		}
		target.answer(486, "")
		pbx.want("ACK")
		known.refused("486")
		outbound := r.customer(transport.TCP).dial("sip:"+farNumber+"@"+host, "anonymous", sdpPlain).start(
			"P-Asserted-Identity: <sip:"+ownNumber+"@x.example>", "Privacy: id;critical")
		outbound.want("100")
		m := tel.ring()
		if got := string(m.invite.From().URI.User); got != "anonymous" {
			t.Errorf("From is %q", got)
		}
		if got := string(m.invite.Get(sip.HdrPAssertedIdentity)); got != "<sip:"+ownNumber+"@"+domain+">" || string(m.invite.Get(sip.HdrPrivacy)) != "id;critical" {
			t.Errorf("P-Asserted-Identity is %q", got)
		}
		m.answer(486, "")
		tel.want("ACK")
		outbound.refused("486")
	})
}

// Media goes to a datagram's sender only once its ACK shows that it is there, unless its password did.
func TestMediaWaitsForProof(t *testing.T) {
	for name, st := range map[string]struct {
		proto transport.Proto
		user  bool
		hold  bool
	}{
		"datagram":                  {transport.UDP, false, true},
		"datagram with credentials": {transport.UDP, true, false},
		"connection":                {transport.TCP, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				if st.user {
					w.withCredentials("alice", "secret")
				}
			}, func(r *rig) {
				tel := r.tel()
				caller := r.customer(st.proto).outboundCall(strings.Repeat(sdpPlain, 50)).start()
				if st.user {
					caller.withCredentials(caller.refused("407"), "alice", "secret")
				}
				caller.want("100")
				busy(tel)
				caller.refused("486")
				leg := r.media.only(t).open.Leg
				if leg.HoldUntilConfirmed != st.hold || leg.Signalling.String() != customerIP || !leg.Trusted(netip.MustParseAddr(customerIP)) ||
					leg.Trusted(netip.MustParseAddr(strangerIP)) {
					t.Errorf("leg %+v", leg)
				}
			})
		})
	}
}
