package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"carillon/config"
	"carillon/sip/transport"
)

// addresses are where a node listens.
type addresses struct {
	udp, tcp, tls, api, dns, metrics netip.AddrPort
}

// own lists every address of this node's listeners, those of a wildcard listener one by one, so that nothing learned
// from others can make the node call itself.
func (a addresses) own() []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range []netip.AddrPort{a.udp, a.tcp, a.tls, a.api, a.dns, a.metrics} {
		switch {
		case !l.IsValid():
		case l.Addr().IsUnspecified():
			for _, ip := range interfaceAddrs() {
				all = append(all, netip.AddrPortFrom(ip, l.Port()))
			}
		default:
			all = append(all, l)
		}
	}
	return all
}

func interfaceAddrs() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var ips []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			ips = append(ips, p.Addr().Unmap())
		}
	}
	return ips
}

// parseListen returns the address of a listener; an empty host means every address, of both families where the machine
// has both.
func parseListen(l config.Listen) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(l.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch host {
	case "":
		host = "0.0.0.0"
		if bothFamilies() {
			host = "::"
		}
	case "localhost":
		host = "127.0.0.1"
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, port))
}

// bothFamilies reports whether one socket serves IPv4 and IPv6 on this machine.
func bothFamilies() bool {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6unspecified})
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// listenSIP binds the SIP sockets. UDP and TCP share a number when both are given port 0 on one host.
func (n *Node) listenSIP(context.Context) error {
	n.gate = newGate()
	t, err := transport.New(transport.Config{
		Handler: n.gate, Clock: n.clock, Logger: n.log.With("plane", "sip"),
		Proxies: n.config.ProxyProtocol, DSCP: n.config.SIPDSCP,
		Limits: transport.Limits{Accepted: n.files.accepted, Dialed: n.files.dialed, AcceptedPerIP: n.config.MaxConnectionsPerIP},
	})
	if err != nil {
		return err
	}
	n.transport = t
	udp, tcp := n.config.SIPUDP, n.config.SIPTCP
	if udp.Enabled() && udp == tcp {
		addr, err := parseListen(udp)
		if err != nil {
			return err
		}
		if addr.Port() == 0 {
			both, err := t.ListenUDPAndTCP(addr)
			n.bound.udp, n.bound.tcp = both, both
			udp, tcp = config.Off, config.Off
			if err != nil {
				return err // the transport names protocol and address
			}
		}
	}
	for _, l := range []struct {
		at    config.Listen
		bound *netip.AddrPort
		open  func(netip.AddrPort) (netip.AddrPort, error)
	}{
		{udp, &n.bound.udp, t.ListenUDP},
		{tcp, &n.bound.tcp, t.ListenTCP},
		{n.config.SIPTLS, &n.bound.tls, func(a netip.AddrPort) (netip.AddrPort, error) {
			return t.ListenTLS(a, transport.ServerTLS{GetCertificate: n.identity.forHello, ClientRoots: n.identity.roots.Load, Ask: n.asksClients})
		}},
	} {
		if !l.at.Enabled() {
			continue
		}
		addr, err := parseListen(l.at)
		if err != nil {
			return err
		}
		if *l.bound, err = l.open(addr); err != nil {
			return err
		}
	}
	n.ready.SIP = ReadySIP{UDP: n.reachable(n.bound.udp), TCP: n.reachable(n.bound.tcp), TLS: n.reachable(n.bound.tls)}
	return nil
}

// listeners are those that no SIP transport holds, bound before anything runs that must not be led to them.
type listeners struct {
	dnsUDP               *net.UDPConn
	dnsTCP, api, metrics net.Listener
}

func (l listeners) close() {
	if l.dnsUDP != nil {
		_ = l.dnsUDP.Close()
	}
	for _, ln := range []net.Listener{l.dnsTCP, l.api, l.metrics} {
		if ln != nil {
			_ = ln.Close() // most often its server already has
		}
	}
}

// listenOthers binds DNS, API and metrics. They answer once their servers start.
func (n *Node) listenOthers(ctx context.Context) error {
	var err error
	if n.config.DNS.Enabled() {
		if n.open.dnsUDP, n.open.dnsTCP, err = listenBoth(ctx, n.config.DNS); err != nil {
			return fmt.Errorf("DNS: %w", err)
		}
		n.bound.dns = n.open.dnsUDP.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	if n.config.API.Enabled() {
		if n.open.api, n.bound.api, err = n.listenTCP(ctx, n.config.API); err != nil {
			return fmt.Errorf("API: %w", err)
		}
	}
	if n.config.Metrics.Enabled() {
		if n.open.metrics, n.bound.metrics, err = n.listenTCP(ctx, n.config.Metrics); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}

// portTries is how often a free port is looked for that UDP and TCP can share.
const portTries = 50

// listenBoth binds UDP and TCP to one number.
func listenBoth(ctx context.Context, at config.Listen) (*net.UDPConn, net.Listener, error) {
	addr, err := parseListen(at)
	if err != nil {
		return nil, nil, err
	}
	var lc net.ListenConfig
	for try := 0; ; try++ {
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return nil, nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		tcp, err := lc.Listen(ctx, "tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if addr.Port() != 0 || try == portTries {
			return nil, nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
}

func (n *Node) listenTCP(ctx context.Context, at config.Listen) (net.Listener, netip.AddrPort, error) {
	addr, err := parseListen(at)
	if err != nil {
		return nil, addr, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, addr, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// reachable is a listener's address as a client on this machine dials it; empty for none.
func (n *Node) reachable(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	if a.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
	}
	return a.String()
}

// Listening says where the node listens and where its media is, as the start of its log tells it. Listeners that are off are
// left out.
func (n *Node) Listening() []slog.Attr {
	attrs := []slog.Attr{slog.String("api", n.ready.API)}
	for _, l := range []struct {
		name string
		at   netip.AddrPort
	}{{"sip_udp", n.bound.udp}, {"sip_tcp", n.bound.tcp}, {"sip_tls", n.bound.tls}, {"dns", n.bound.dns}, {"metrics", n.bound.metrics}} {
		if l.at.IsValid() {
			attrs = append(attrs, slog.String(l.name, l.at.String()))
		}
	}
	media := make([]string, 0, len(n.config.MediaIP))
	for _, ip := range n.config.MediaIP {
		media = append(media, ip.String())
	}
	attrs = append(attrs, slog.String("media", strings.Join(media, ",")), slog.String("media_ports", n.config.MediaPorts.String()))
	if len(n.config.MediaAdvertise) > 0 {
		attrs = append(attrs, slog.Any("media_advertise", n.config.MediaAdvertise))
	}
	return attrs
}

// port returns the port the node listens on for a protocol, 0 for none.
func (n *Node) port(p transport.Proto) uint16 {
	switch p {
	case transport.UDP:
		return n.bound.udp.Port()
	case transport.TCP:
		return n.bound.tcp.Port()
	default:
		return n.bound.tls.Port()
	}
}

// asksClients reports whether the connector that a TLS client wants to reach asks its clients for certificates.
func (n *Node) asksClients(serverName string) bool {
	c, ok := n.directory.Snapshot().ConnectorByHost(serverName)
	return ok && c.Settings.ClientCertificates
}
