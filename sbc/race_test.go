package sbc

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// addresses puts what a name leads to in the rig's network: each is "PROTO NAME ADDRESS".
func (n *network) records(host string, list ...[3]string) {
	for _, l := range list {
		proto := map[string]resolve.Proto{"UDP": resolve.UDP, "TCP": resolve.TCP, "TLS": resolve.TLS}[l[0]]
		n.names[host] = append(n.names[host], resolve.Target{Proto: proto, Name: l[1], Addr: netip.MustParseAddrPort(l[2])})
	}
}

// dialledAddrs are the addresses dialled so far.
func (n *network) dialledAddrs() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.dialed {
		all = append(all, d.Addr.String())
	}
	return all
}

// carrierAt makes the carrier's one target this host.
func carrierAt(host string, port uint16, transport trunk.Transport) func(*world) {
	return func(w *world) {
		w.carriers[0].Targets = []trunk.Target{{Host: host, Port: port, Transport: transport}}
	}
}

const (
	deadV6  = "[2001:db8::9]:5060"
	aliveV4 = "198.51.100.9:5060"
)

// A family that swallows packets costs the first call a quarter of a second and the next ones nothing; one that refuses
// costs nothing at all.
func TestDeadFamily(t *testing.T) {
	for _, st := range []struct {
		name  string
		hang  bool
		takes time.Duration
	}{{"black hole", true, connectDelay}, {"refused", false, 0}} {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, carrierAt("dual.example", 0, trunk.TCP), func(r *rig) {
				r.net.records("dual.example", [3]string{"TCP", "dual.example", deadV6}, [3]string{"TCP", "dual.example", aliveV4})
				r.net.hang = map[addrPort]bool{mustAddr(deadV6): st.hang}
				tel := r.peer(transport.TCP, aliveV4)
				for i, takes := range []time.Duration{st.takes, 0} {
					began := time.Now()
					caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
					caller.want("100")
					time.Sleep(takes)
					busy(tel)
					caller.refused("486")
					if took := time.Since(began); took != takes {
						t.Errorf("call %d took %v to reach the carrier, want %v", i, took, takes)
					}
				}
				want := []string{deadV6, aliveV4, aliveV4}
				if got := r.net.dialledAddrs(); !slices.Equal(got, want) {
					t.Errorf("dialled %v, want %v", got, want)
				}
				// What was dead gets its place back.
				time.Sleep(DefaultFailedFor)
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				time.Sleep(st.takes)
				busy(tel)
				caller.refused("486")
				if got := r.net.dialledAddrs(); !slices.Equal(got[3:], want[:2]) {
					t.Errorf("later dialled %v, want %v", got[3:], want[:2])
				}
			})
		})
	}
}

// A target that cannot be connected to holds up its own call and no other: no lock is held while a node connects.
func TestHangingTargetHoldsNobodyUp(t *testing.T) {
	scenario(t, func(w *world) {
		w.carriers[0].Prefixes = []string{farNumber}
		w.carriers[0].Targets = []trunk.Target{{Host: carrierIP, Transport: trunk.TCP}}
		w.carriers = append(w.carriers, &trunk.Carrier{Name: "other", Targets: []trunk.Target{{Host: backupIP, Transport: trunk.UDP}}})
	}, func(r *rig) {
		r.net.hang = map[addrPort]bool{mustAddr(carrierIP + ":5060"): true}
		other := r.backup()
		stuck := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		stuck.want("100")
		began := time.Now()
		caller := r.customer(transport.UDP).dial("sip:+12125550199@"+host, ownNumber, sdpPlain)
		callee := connect(caller, other, sdpPlain)
		hangUp(caller, callee)
		if took := time.Since(began); took != 0 {
			t.Errorf("a call took %v while another one's target was connected to", took)
		}
		stuck.quiet()
		time.Sleep(dialTimeout)
		busy(other)
		stuck.refused("486")
	})
}

// Addresses of one host are raced; another host of the SRV records is another server, whose turn comes when all of the
// first have failed, and not before.
func TestServersAreNotRaced(t *testing.T) {
	scenario(t, carrierAt("srv.example", 0, trunk.TCP), func(r *rig) {
		r.net.records("srv.example", [3]string{"TCP", "a.srv.example", deadV6}, [3]string{"TCP", "a.srv.example", "198.51.100.8:5060"},
			[3]string{"TCP", "b.srv.example", aliveV4})
		r.net.hang = map[addrPort]bool{mustAddr(deadV6): true, mustAddr("198.51.100.8:5060"): true}
		tel := r.peer(transport.TCP, aliveV4)
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		time.Sleep(connectDelay + dialTimeout - time.Millisecond)
		tel.quiet()
		time.Sleep(time.Millisecond)
		busy(tel)
		caller.refused("486")
		if got, want := r.net.dialledAddrs(), []string{deadV6, "198.51.100.8:5060", aliveV4}; !slices.Equal(got, want) {
			t.Errorf("dialled %v, want %v", got, want)
		}
	})
}

// A node that may open no more connections says nothing about its peers: none is taken for dead, a long request goes over
// UDP, and the next call has every way again.
func TestNodeFullOfConnections(t *testing.T) {
	scenario(t, func(w *world) {
		w.carriers[0].Targets = []trunk.Target{{Host: "dual.example", Transport: trunk.TCP}, {Host: carrierIP, Transport: trunk.UDP}}
	}, func(r *rig) {
		r.net.records("dual.example", [3]string{"TCP", "dual.example", deadV6}, [3]string{"TCP", "dual.example", aliveV4})
		r.net.full = true
		udp := r.tel()
		caller := longCall(r)
		busy(udp)
		caller.refused("486")
		if n := r.sbc.stats.NoTCP.Load(); len(r.sbc.dead.by) != 0 || n != 0 {
			t.Errorf("dead are %v, %d peers take no TCP", r.sbc.dead.by, n)
		}
	})
}

// Over UDP a dead address shows by its silence alone: it costs one call the time of a silent target, and is then tried
// last.
func TestSilentAddressIsTriedLast(t *testing.T) {
	scenario(t, carrierAt("dual.example", 0, trunk.UDP), func(r *rig) {
		r.net.records("dual.example", [3]string{"UDP", "dual.example", deadV6}, [3]string{"UDP", "dual.example", aliveV4})
		dead, tel := r.peer(transport.UDP, deadV6), r.peer(transport.UDP, aliveV4)
		for i, takes := range []time.Duration{DefaultTargetSilent, 0, 0} {
			began := time.Now()
			caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
			caller.want("100")
			time.Sleep(takes)
			busy(tel)
			caller.refused("486")
			if took := time.Since(began); took != takes {
				t.Errorf("call %d took %v to reach the carrier, want %v", i, took, takes)
			}
		}
		dead.clear()
		time.Sleep(DefaultFailedFor)
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
		caller.want("100")
		busy(dead)
		caller.refused("486")
		tel.quiet()
	})
}

// A domain that lists TLS first keeps it first when its TLS servers are down: else breaking them would be the way to
// read its calls.
func TestDeadAddressesStayInTheirTransport(t *testing.T) {
	scenario(t, carrierAt("naptr.example", 0, trunk.AnyTransport), func(r *rig) {
		r.net.records("naptr.example", [3]string{"TLS", "tls.example", "198.51.100.7:5061"}, [3]string{"UDP", "udp.example", aliveV4})
		tel := r.peer(transport.UDP, aliveV4)
		for range 2 {
			caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
			caller.want("100")
			busy(tel)
			caller.refused("486")
		}
		want := []string{"198.51.100.7:5061", aliveV4, "198.51.100.7:5061", aliveV4}
		if got := r.net.dialledAddrs(); !slices.Equal(got, want) {
			t.Errorf("dialled %v, want %v", got, want)
		}
	})
}

// What a target leaves open is what the DNS is asked for (RFC 3263 section 4.1); over TLS nothing else is taken.
func TestQueries(t *testing.T) {
	for _, st := range []struct {
		port      uint16
		transport trunk.Transport
		want      resolve.Query
	}{
		{0, trunk.AnyTransport, resolve.Query{}},
		{0, trunk.UDP, resolve.Query{Transport: resolve.UDP}},
		{5060, trunk.TCP, resolve.Query{Port: 5060, Transport: resolve.TCP}},
		{0, trunk.TLS, resolve.Query{Secure: true}},
		{5071, trunk.TLS, resolve.Query{Port: 5071, Transport: resolve.TLS, Secure: true}},
	} {
		t.Run(fmt.Sprint(st.transport, st.port), func(t *testing.T) {
			scenario(t, carrierAt("sip.example", st.port, st.transport), func(r *rig) {
				caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
				caller.want("100")
				caller.refused("500")
				st.want.Host = "sip.example"
				if len(r.net.asked) != 1 || r.net.asked[0] != st.want {
					t.Errorf("asked for %+v, want %+v", r.net.asked, st.want)
				}
			})
		})
	}
}

// A connector that is IPV4_ONLY never tries IPv6; one that is DUAL_STACK does.
func TestNetworkType(t *testing.T) {
	for _, kind := range []trunk.NetworkType{trunk.IPv4Only, trunk.DualStack} {
		t.Run(string(kind), func(t *testing.T) {
			scenario(t, func(w *world) {
				w.connector.NetworkType = kind
				w.connector.Origination.Routes[0].Host = "dual.example"
			}, func(r *rig) {
				r.net.records("dual.example", [3]string{"UDP", "dual.example", deadV6}, [3]string{"UDP", "dual.example", aliveV4})
				six, four := r.peer(transport.UDP, deadV6), r.peer(transport.UDP, aliveV4)
				caller := r.tel().inboundCall(sdpPlain).start()
				caller.want("100")
				if kind == trunk.IPv4Only {
					busy(four)
					six.quiet()
				} else {
					busy(six)
					four.quiet()
				}
				caller.refused("486")
			})
		})
	}
}
