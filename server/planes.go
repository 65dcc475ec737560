package server

import (
	"context"
	"math"
	"net"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"carillon/api"
	"carillon/call"
	"carillon/cdr"
	"carillon/dns"
	"carillon/media"
	"carillon/numbering"
	"carillon/proxyproto"
	"carillon/sbc"
	"carillon/sip/digest"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/trunk"
)

// startSignalling builds the signalling plane and opens the gate.
func (n *Node) startSignalling(context.Context) error {
	nonces, err := digest.NewServer(digest.ServerConfig{Key: n.store.Box().Derive("digest nonces"), Clock: n.clock, Rand: n.random})
	if err != nil {
		return err
	}
	if n.resolver, err = resolve.New(resolve.Config{Clock: n.clock, Rand: n.random, Servers: n.config.Resolver}); err != nil {
		return err
	}
	name, name6 := n.sipName()
	n.health = newHealth(n.store, n.clock, n.log)
	n.running.Go(func() { n.health.run(n.background) })
	n.sweeper = &sweeper{store: n.store, view: n.directory.Snapshot, clock: n.clock, log: n.log}
	n.running.Go(func() { n.sweeper.run(n.background) })
	n.sbc, err = sbc.New(sbc.Config{
		Directory: n.directory, Media: mediaPlane{n.media}, Records: n.records, Digest: nonces, Resolver: n.resolver,
		Health: n.health, Stale: n.stale, Egress: n.policy(), Name: name, Name6: name6, Domain: n.ready.Domain, Ports: n.port,
		Roots: n.identity.roots.Load, Certificate: n.identity.own, Clock: n.clock, Rand: n.random, Logger: n.log.With("plane", "sbc"),
		Limits: sbc.Limits{
			Calls: n.config.MaxCalls, Unproven: n.config.MaxUnprovenCalls, Datagram: n.config.MaxDatagram, TargetSilent: n.config.TargetSilence, Ring: n.config.RingTime,
			Duration: n.config.MaxCallTime, Drain: n.config.Drain,
		},
	})
	if err != nil {
		return err
	}
	n.layer, err = transaction.New(transaction.Config{
		Core: n.sbc, Clock: n.clock, Rand: n.random, MaxServer: n.config.MaxTransactions, MaxClient: n.config.MaxTransactions,
	})
	if err != nil {
		return err
	}
	n.sbc.Attach(n.layer, n.transport)
	n.gate.layer, n.gate.sbc = n.layer, n.sbc
	n.gate.open()
	n.running.Go(func() { n.sbc.Probe(n.background) })
	return nil
}

// stale reports that an external store has not confirmed the revision this node serves for too long: somebody may have
// narrowed what a caller may do. Trouble with the embedded store is trouble of this node's disk and stops no call.
func (n *Node) stale() bool {
	return !n.config.Store.Embedded() && n.clock.Now().Sub(n.directory.Confirmed()) > n.config.StoreStale
}

// mediaPlane lets signalling use the media plane without either knowing the other.
type mediaPlane struct{ *media.Plane }

// Open implements sbc.MediaPlane.
func (m mediaPlane) Open(o call.Open) (sbc.MediaSession, *call.Refusal) {
	s, refusal := m.Plane.Open(o)
	if refusal != nil {
		return nil, refusal // and not a nil *media.Session, which would be no nil MediaSession
	}
	return s, nil
}

// zone answers DNS from the snapshot that SIP reads.
type zone struct{ n *Node }

// Host implements dns.Zone.
func (z zone) Host(name string) (dns.HostInfo, bool) {
	c, ok := z.n.directory.Snapshot().ConnectorByHost(name)
	if !ok {
		return dns.HostInfo{}, false
	}
	b := z.n.bound
	info := dns.HostInfo{
		RequireEncryption: c.RequireEncryption,
		Ports:             dns.Ports{UDP: b.udp.Port(), TCP: b.tcp.Port(), TLS: b.tls.Port()},
	}
	if z.n.stale() {
		return info, true // the name exists, and no call should come here
	}
	for _, a := range z.n.sipAddrs() {
		// An IPv4 connector never uses IPv6.
		if a.Is4() || c.NetworkType == trunk.DualStack {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info, true
}

// Below implements dns.Zone: the parents of connectors' host names exist although they have no records.
func (z zone) Below(name string) bool {
	for _, r := range trunk.Regions() {
		if strings.HasSuffix(r.HostName("", z.n.ready.Domain), "."+name) {
			return true
		}
	}
	return false
}

// startDNS answers for the installation's domain.
func (n *Node) startDNS(context.Context) error {
	if !n.config.DNS.Enabled() {
		return nil
	}
	s, err := dns.New(dns.Config{
		Zone: zone{n}, Domains: []string{n.ready.Domain}, Clock: n.clock, Logger: n.log.With("plane", "dns"),
		NameServers: []dns.NameServer{{Name: n.nameServer(), Addrs: n.sipAddrs()}},
		Serial:      func() uint32 { return uint32(n.directory.Snapshot().Revision() & math.MaxUint32) },
	})
	if err != nil {
		return err
	}
	n.ready.DNS = n.reachable(n.bound.dns)
	n.running.Go(func() { n.watch("DNS over UDP", s.ServeUDP(n.background, n.open.dnsUDP)) })
	n.running.Go(func() { n.watch("DNS over TCP", s.ServeTCP(n.background, n.open.dnsTCP)) })
	return nil
}

// nameServer is the name that the zone above has to delegate the installation's domain to.
func (n *Node) nameServer() string { return "ns." + n.ready.Domain }

// watch logs the end of something that should run as long as the node.
func (n *Node) watch(what string, err error) {
	if err != nil && n.background.Err() == nil {
		n.log.Error("serve "+what, "error", err)
	}
}

// startAPI serves the API.
func (n *Node) startAPI(context.Context) error {
	if !n.config.API.Enabled() {
		return nil
	}
	rules := trunk.DefaultRules()
	rules.ShortestIPv4, rules.ShortestIPv6 = n.config.ShortestPrefixIPv4, n.config.ShortestPrefixIPv6
	rules.Country = numbering.ValidCountry
	s, err := api.New(api.Config{
		Store: n.store, Directory: n.directory, Calls: calls{n.records}, Audit: n.store, Rehearser: n.sbc, Clock: n.clock, Random: n.random,
		Logger: n.log.With("plane", "api"), Metrics: n.metrics, Rules: rules, TokenKey: n.store.Box().Derive("api tokens"),
		DualStack: n.dualStack(), ThrottleException: n.config.APIThrottleException,
	})
	if err != nil {
		return err
	}
	ln, scheme := n.open.api, "http"
	if len(n.config.APIProxyProtocol) > 0 {
		ln = &proxyproto.Listener{
			Listener: ln, Balancers: n.config.APIProxyProtocol, Clock: n.clock,
			Refused: func(balancer net.Addr, err error) {
				n.apiProxyRefused.Add(1)
				n.log.Debug("refuse connection to the API", "balancer", balancer, "error", err)
			},
		}
	}
	server := api.HTTPServer(s.Handler(), n.log.With("plane", "api"))
	n.apiConnections = api.NewConnections(n.files.api, n.config.MaxAPIConnectionsPerIP)
	n.apiConnections.Attach(server)
	ln = n.apiConnections.Listener(ln)
	if n.config.APITLS {
		scheme = "https"
		ln = n.tlsListener(ln)
	}
	n.ready.API = scheme + "://" + n.reachable(n.bound.api)
	n.serve(server, ln)
	return nil
}

// dualStack reports whether peers can reach this node over IPv6.
func (n *Node) dualStack() bool {
	for _, a := range n.sipAddrs() {
		if a.Is6() {
			return true
		}
	}
	return false
}

// maxMetricsConnections is how many connections to the metrics are open at once. For one more the one that has waited
// longest is closed and counted in carillon_metrics_connections_closed_total.
const maxMetricsConnections = 64

// startMetrics serves the metrics in Prometheus' form.
func (n *Node) startMetrics(context.Context) error {
	n.metricsConnections = api.NewConnections(maxMetricsConnections, maxMetricsConnections)
	for _, c := range []prometheus.Collector{
		newCollector(n), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := n.metrics.Register(c); err != nil {
			return err
		}
	}
	if !n.config.Metrics.Enabled() {
		return nil
	}
	n.ready.Metrics = "http://" + n.reachable(n.bound.metrics) + "/metrics"
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}))
	server := api.HTTPServer(mux, n.log)
	n.metricsConnections.Attach(server)
	n.serve(server, n.metricsConnections.Listener(n.open.metrics))
	return nil
}

// calls reads call records for the API.
type calls struct{ log *cdr.Log }

// List implements api.Calls.
func (c calls) List(_ context.Context, f api.CallFilter, limit int, after string) ([]call.Record, string, error) {
	page, err := c.log.List(cdr.Filter{Account: f.Account, ConnectorID: f.ConnectorID, Number: f.Number, Reason: f.Reason, Since: f.Since}, limit, after)
	return page.Records, page.Next, err
}

// Show implements api.Calls.
func (c calls) Show(_ context.Context, id call.ID) (call.Record, bool, error) { return c.log.Show(id) }
