package sbc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// long makes an INVITE of the node too long for a datagram.
var long = "X-Long: " + strings.Repeat("long ", 200)

// longCall places a call whose INVITE to the carrier is too long for UDP.
func longCall(r *rig) *agent {
	caller := r.customer(transport.UDP).outboundCall(sdpPlain).start(long)
	caller.want("100")
	return caller
}

// tcpDials counts the TCP connections tried to an address.
func (n *network) tcpDials(addr string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.dialed {
		if d.Proto == transport.TCP && d.Addr.String() == addr {
			count++
		}
	}
	return count
}

const telAddr = carrierIP + ":5060"

// A request too long for UDP goes over TCP, and the call stays there (RFC 3261 section 18.1.1).
func TestLongInviteGoesOverTCP(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		udp, tcp := r.tel(), r.peer(transport.TCP, telAddr)
		caller := longCall(r)
		target := tcp.ring()
		if via := string(target.invite.Get(sip.HdrVia)); !strings.HasPrefix(via, "SIP/2.0/TCP ") {
			t.Errorf("Via is %q", via)
		}
		if got := string(target.invite.Contact().URI.AppendTo(nil)); !strings.HasSuffix(got, ";transport=tcp") {
			t.Errorf("Contact is %q", got)
		}
		if got := target.invite.CSeq(); got != 1 {
			t.Errorf("CSeq is %d, want 1", got)
		}
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		udp.quiet()
		if got := r.wantRecord(call.ReasonHangup, 200, "customer"); got.CarrierLeg.Transport != "tcp" {
			t.Errorf("the record says %q, want tcp", got.CarrierLeg.Transport)
		}
		// What fits goes over UDP.
		caller = r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		busy(udp)
		caller.refused("486")
		tcp.quiet()
	})
}

// A peer that takes no TCP gets long requests over UDP, and is not asked again for a while.
func TestLongInviteFallsBackToUDP(t *testing.T) {
	for _, st := range []struct {
		name  string
		tcp   func(r *rig) // what there is of TCP
		takes time.Duration
	}{
		{"refused", func(*rig) {}, 0},
		{"black hole", func(r *rig) { r.net.hang = map[addrPort]bool{mustAddr(telAddr): true} }, tcpTime},
	} {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, (*world).oneTarget, func(r *rig) {
				udp := r.tel()
				st.tcp(r)
				place := func(takes time.Duration) {
					t.Helper()
					began := time.Now()
					caller := longCall(r)
					time.Sleep(takes)
					busy(udp)
					caller.refused("486")
					if took := time.Since(began); took != takes {
						t.Errorf("the INVITE took %v, want %v", took, takes)
					}
				}
				place(st.takes)
				place(0)
				time.Sleep(tcpRetry)
				place(st.takes)
				if got := r.net.tcpDials(telAddr); got != 2 {
					t.Errorf("TCP was tried %d times, want 2", got)
				}
			})
		})
	}
}

// A peer whose TCP port is open and answers nothing gets the INVITE over UDP before anybody else is tried.
func TestLongInviteOverDeafTCP(t *testing.T) {
	for _, st := range []struct {
		name   string
		happen func(r *rig, tcp *peer)
	}{
		{"silent", func(*rig, *peer) { time.Sleep(DefaultTargetSilent) }},
		{"closes", func(r *rig, tcp *peer) { r.layer.Closed(tcp.near.Flow(), nil) }},
	} {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				udp, tcp, backup := r.tel(), r.peer(transport.TCP, telAddr), r.backup()
				caller := longCall(r)
				tcp.want("INVITE")
				st.happen(r, tcp)
				busy(udp)
				caller.refused("486")
				backup.quiet()
				caller = longCall(r) // and the next one knows
				busy(udp)
				caller.refused("486")
			})
		})
	}
}

// Credentials can make an INVITE too long that was not before.
func TestCredentialsMakeAnInviteLong(t *testing.T) {
	scenario(t, func(w *world) {
		w.oneTarget()
		w.carriers[0].User, w.carriers[0].Password = "trunk", trunk.NewSecret("hunter2")
		w.limits.Datagram = 1100
	}, func(r *rig) {
		udp, tcp := r.tel(), r.peer(transport.TCP, telAddr)
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start("X-Some: " + strings.Repeat("x", 200))
		caller.want("100")
		first := udp.ring()
		first.answer(407, "", `Proxy-Authenticate: Digest realm="tel.example", nonce="`+strings.Repeat("n", 200)+`", qop="auth", algorithm=SHA-256`)
		udp.want("ACK")
		second := tcp.ring()
		if got := second.invite.CSeq(); got != first.invite.CSeq()+1 {
			t.Errorf("CSeq is %d after %d", got, first.invite.CSeq())
		}
		if len(second.invite.Lookup("Proxy-Authorization")) == 0 {
			t.Error("the second INVITE has no credentials")
		}
		second.answer(200, sdpPlain)
		second.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, second)
	})
}

// Inside a call that runs over UDP a long request alone goes over TCP, with the next CSeq number and no gap; where there
// is no TCP it goes over UDP.
func TestLongReinvite(t *testing.T) {
	for _, st := range []struct {
		name string
		tcp  bool
		lost bool // the connection ends before the answer
	}{{"over TCP", true, false}, {"no TCP", false, false}, {"lost", true, true}} {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, (*world).oneTarget, func(r *rig) {
				udp := r.tel()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain)
				callee := connect(caller, udp, sdpPlain)
				invite := callee.invite.CSeq()
				to := udp
				if st.tcp {
					to = r.peer(transport.TCP, telAddr)
				}
				synctest.Wait()
				r.sbc.limits.Datagram = 100 // whatever comes now is long
				caller.request("INVITE", sdpPlain)
				caller.want("100")
				re := to.want("INVITE")
				r.sbc.limits.Datagram = DefaultDatagram
				if st.lost {
					r.layer.Closed(to.near.Flow(), nil)
					re, to = udp.want("INVITE"), udp
					if got := re.CSeq(); got != invite+2 {
						t.Errorf("CSeq %d after the one that was lost, want %d", got, invite+2)
					}
				} else if got := re.CSeq(); got != invite+1 {
					t.Errorf("CSeq %d, want %d", got, invite+1)
				}
				if got := string(re.Contact().URI.AppendTo(nil)); strings.Contains(got, "transport=tcp") {
					t.Errorf("the Contact %s moves the dialog to TCP", got)
				}
				to.respond(re, 200, "", sdpPlain, "Contact: "+callee.contact)
				udp.want("ACK")
				caller.sendAck(caller.want("200"), "")
				hangUp(caller, callee)
				if got := r.net.tcpDials(telAddr); got != 1 {
					t.Errorf("TCP was tried %d times, want once", got)
				}
			})
		})
	}
}

// An ACK that is too long, as that of a late offer may be, goes over TCP like any request, before all that follows it in
// the dialog; over UDP where there is no TCP, and to who repeats the 2xx as if TCP had not brought it.
func TestLongAck(t *testing.T) {
	for _, st := range []struct {
		name   string
		happen func(r *rig) *peer // who gets the ACK
	}{
		{"over TCP", func(r *rig) *peer { return r.peer(transport.TCP, telAddr) }},
		{"no TCP", func(r *rig) *peer { return nil }},
		{"black hole", func(r *rig) *peer { r.net.hang = map[addrPort]bool{mustAddr(telAddr): true}; return nil }},
		{"lost at once", func(r *rig) *peer { r.peer(transport.TCP, telAddr).near.Cut(); return nil }},
	} {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, (*world).oneTarget, func(r *rig) {
				udp := r.tel()
				caller := r.customer(transport.UDP).outboundCall("").start()
				caller.want("100")
				target := udp.ring()
				target.answer(200, sdpPlain)
				caller.answered()
				synctest.Wait()
				to := st.happen(r)
				if to == nil {
					to = udp
				}
				r.sbc.limits.Datagram = 100
				caller.ack(sdpPlain)
				caller.request("BYE", "")
				caller.want("200")
				if st.name == "black hole" {
					udp.quiet()
					time.Sleep(tcpTime)
				}
				ack := to.want("ACK")
				if via := string(ack.Get(sip.HdrVia)); !strings.HasPrefix(via, "SIP/2.0/"+to.proto.String()+" ") {
					t.Errorf("Via is %q", via)
				}
				if got := string(ack.Body()); !strings.Contains(got, "ours") || ack.CSeq() != target.invite.CSeq() {
					t.Errorf("the ACK is %s", ack.Bytes())
				}
				bye := to.want("BYE")
				target.answer(200, sdpPlain)
				if again := udp.want("ACK"); string(again.Body()) != string(ack.Body()) {
					t.Error("the ACK of the repeated 200 differs")
				}
				to.respond(bye, 200, "", "")
				udp.quiet()
				r.wantRecord(call.ReasonHangup, 200, "customer")
			})
		})
	}
}

// Nobody is asked to connect to a node that listens for no TCP, and an address that must not be connected to is not.
func TestLongInviteStaysOnUDP(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		r.sbc.cfg.Ports = func(p transport.Proto) uint16 {
			if p == transport.TCP {
				return 0
			}
			return p.DefaultPort()
		}
		udp := r.tel()
		caller := longCall(r)
		busy(udp)
		caller.refused("486")
		if got := r.net.tcpDials(telAddr); got != 0 {
			t.Errorf("TCP was tried %d times", got)
		}
	})
}
