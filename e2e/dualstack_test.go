package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"carillon/api/wire"
	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// need6 skips a test on a machine without IPv6.
func need6(t *testing.T) {
	t.Helper()
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("no IPv6: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// dualWorld is a node whose listeners serve both families, as an empty host does, with media addresses of both.
func dualWorld(t *testing.T) *world {
	t.Helper()
	need6(t)
	return newWorld(t, func(c *config.Config) {
		c.SIPUDP, c.SIPTCP, c.SIPTLS = ":0", ":0", ":0"
		c.MediaIP = append(c.MediaIP, netip.IPv6Loopback())
	})
}

// networked makes a connector of a network type, with a termination for this machine in both families.
func (w *world) networked(kind wire.NetworkType, encrypted bool) trunkOf {
	w.t.Helper()
	var made wire.CreateVoiceConnectorResponse
	w.aws(wire.OpCreateVoiceConnector, &wire.CreateVoiceConnectorRequest{Name: new("e2e"), RequireEncryption: &encrypted, NetworkType: &kind}, &made)
	c := trunkOf{*made.VoiceConnector.VoiceConnectorID, *made.VoiceConnector.OutboundHostName}
	w.terminate(c, &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{"127.0.0.0/8", "::1/128"}, CPSLimit: new(int32(100))})
	w.must("number", "import", customerNumber, "--connector", c.id)
	return c
}

// TestDualStackOutbound: a phone that has IPv6 alone calls a carrier that has IPv4 alone, over every transport: signalling
// and media of the customer's leg run over IPv6, and what the node calls itself there is an IPv6 address.
func TestDualStackOutbound(t *testing.T) {
	t.Parallel()
	w := dualWorld(t)
	handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450)} })
	w.carrier("four", handle, outsideNumber)
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		t.Run(proto.String(), func(t *testing.T) {
			w := w.in(t)
			c := w.networked("DUAL_STACK", proto == transport.TLS)
			inv := w.invite(c, proto, outsideNumber)
			inv.Target = netip.AddrPortFrom(netip.IPv6Loopback(), inv.Target.Port())
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			caller := w.phone(phone.Config{Proto: proto, Bind: netip.AddrPortFrom(netip.IPv6Loopback(), 0)})
			call, err := caller.Dial(ctx, inv)
			if err != nil {
				t.Fatal(err)
			}
			callee := receive(t, "the answer", taken)
			eventually(t, "audio at the carrier", func() bool { return hears(callee, 450) })
			eventually(t, "audio at the customer", func() bool { return hears(call, 450) })
			if err := call.Hangup(ctx); err != nil {
				t.Error(err)
			}
			receive(t, "the carrier's BYE", callee.Done())
			r := w.records(c, 1)[0]
			if six := r.Customer; !six.Remote.Addr().Is6() || !six.Media.Remote.Addr().Is6() {
				t.Errorf("the customer's leg came from %v, media from %v; want IPv6", six.Remote, six.Media.Remote)
			}
			if four := r.CarrierLeg; !four.Remote.Addr().Is4() || !four.Media.Remote.Addr().Is4() {
				t.Errorf("the carrier's leg went to %v, media to %v; want IPv4", four.Remote, four.Media.Remote)
			}
		})
	}
}

// TestDualStackInbound: a route's host with addresses of both families is reached over the one where somebody is, unless
// the connector is IPV4_ONLY.
func TestDualStackInbound(t *testing.T) {
	t.Parallel()
	w := dualWorld(t)
	for _, kind := range []wire.NetworkType{"DUAL_STACK", "IPV4_ONLY"} {
		for _, proto := range []transport.Proto{transport.TCP, transport.UDP} {
			t.Run(fmt.Sprint(kind, " ", proto), func(t *testing.T) {
				w := w.in(t)
				c := w.networked(kind, false)
				handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450)} })
				customer := w.phone(phone.Config{Proto: proto, Bind: netip.AddrPortFrom(netip.IPv6Loopback(), 0)})
				customer.Handle(handle)
				w.originate(c, wire.OriginationRoute{ // localhost is both 127.0.0.1 and ::1
					Host: new("localhost"), Port: new(int32(customer.Addr().Port())), Protocol: new(wire.OriginationRouteProtocol(proto.String())),
					Priority: new(int32(1)), Weight: new(int32(1)),
				})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				call, err := w.ring(ctx, customerNumber)
				if kind == "IPV4_ONLY" {
					if err == nil {
						t.Error("the call was answered over IPv6")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				callee := receive(t, "the answer", taken)
				eventually(t, "audio at the customer", func() bool { return hears(callee, 1004) })
				if err := call.Hangup(ctx); err != nil {
					t.Error(err)
				}
				receive(t, "the customer's BYE", callee.Done())
				if r := w.records(c, 1)[0]; !r.Customer.Remote.Addr().Is6() || !r.Customer.Media.Remote.Addr().Is6() {
					t.Errorf("the customer's leg went to %v, media to %v; want IPv6", r.Customer.Remote, r.Customer.Media.Remote)
				}
			})
		}
	}
}
