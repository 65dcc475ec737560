package sbc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/clock"
	"carillon/directory"
	"carillon/egress"
	"carillon/numbering"
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/sip/resolve"
	"carillon/sip/siptest"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// The world of the tests: one account with a connector, its customer, a carrier, and a second account.
const (
	account      = "111122223333"
	otherAccount = "444455556666"
	connectorID  = "aaaaaaaaaaaaaaaaaaaaaa"
	otherID      = "bbbbbbbbbbbbbbbbbbbbbb"
	host         = connectorID + ".voiceconnector.example.com"
	otherHost    = otherID + ".voiceconnector.example.com"
	ownNumber    = "+12065550100"
	otherNumber  = "+12065550200"
	farNumber    = "+12125550123"
	nodeName     = "node.example.net"
	domain       = "example.com"

	customerIP = "192.0.2.10"
	strangerIP = "192.0.2.66"
	pbxIP      = "192.0.2.20"
	carrierIP  = "198.51.100.1"
	backupIP   = "198.51.100.2"
	nodeIP     = "203.0.113.5"
)

// world is what is configured. A test changes it before the rig is built.
type world struct {
	connector, other *trunk.Connector
	carriers         []*trunk.Carrier
	more             []trunk.Entity
	limits           Limits
	egress           egress.Policy
	noHealth         bool
}

func newConnector(id, owner, hostName string) *trunk.Connector {
	return &trunk.Connector{
		ID: id, Account: owner, Name: id, Region: "us-east-1", HostName: hostName,
		Termination: &trunk.Termination{
			CallingRegions: []string{"US"}, CpsLimit: 100,
			CidrAllowedList: []trunk.CIDR{{Text: customerIP + "/32", Prefix: netip.MustParsePrefix(customerIP + "/32")}},
		},
		Origination: &trunk.Origination{Routes: []trunk.Route{{Host: pbxIP, Protocol: "UDP", Priority: 1, Weight: 1}}},
	}
}

func newWorld() *world {
	return &world{
		connector: newConnector(connectorID, account, host),
		other:     newConnector(otherID, otherAccount, otherHost),
		carriers: []*trunk.Carrier{{
			Name: "tel", Targets: []trunk.Target{{Host: carrierIP, Transport: trunk.UDP}, {Host: backupIP, Transport: trunk.UDP}},
		}},
	}
}

// encrypted makes the connector require encryption; its route then leads to a host name over TLS.
func (w *world) encrypted() {
	w.connector.RequireEncryption = true
	w.connector.Origination.Routes[0].Host = "pbx.example.org"
}

// oneTarget leaves the carrier only its first target.
func (w *world) oneTarget() { w.carriers[0].Targets = w.carriers[0].Targets[:1] }

// withCredentials gives the connector a digest user.
func (w *world) withCredentials(user, password string) {
	ha1 := digest.NewHA1(user, host, password)
	w.connector.Credentials = []trunk.Credential{{
		Username: user, Realm: host, MD5: trunk.NewSecret(fmt.Sprintf("%x", ha1.MD5)), SHA256: trunk.NewSecret(fmt.Sprintf("%x", ha1.SHA256)),
	}}
}

func (w *world) entities() []trunk.Entity {
	all := []trunk.Entity{
		w.connector, w.other,
		&trunk.PhoneNumber{E164: ownNumber, Account: account, ConnectorID: connectorID},
		&trunk.PhoneNumber{E164: otherNumber, Account: otherAccount, ConnectorID: otherID},
	}
	for _, c := range w.carriers {
		all = append(all, c)
	}
	return append(all, w.more...)
}

// source is a store that has said everything.
type source []trunk.Entity

func (s source) Follow(_ context.Context, apply func(trunk.Change) error) error {
	return apply(trunk.Change{Revision: 7, Reset: true, Put: s})
}

// rig is a Server with its transactions, fake planes and fake peers around it. It lives in a synctest bubble.
type rig struct {
	t       testing.TB
	sbc     *Server
	layer   *transaction.Layer
	media   *fakeMedia
	records *sink
	health  *pulse
	net     *network
	panics  uint64 // that there must be
	flows   int    // of the peers' connections, to give each another port
}

// scenario runs a test in a bubble and checks at its end that nothing is left of any call.
func scenario(t *testing.T, change func(*world), script func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		if change != nil {
			change(w)
		}
		r := newRig(t, w)
		defer func() {
			if t.Failed() { // let the calls end, or the bubble's complaint hides the test's
				r.sbc.stopAll()
				time.Sleep(time.Hour)
			}
		}()
		script(r)
		r.end()
	})
}

func newRig(t testing.TB, w *world) *rig {
	t.Helper()
	dir := directory.New(directory.Config{})
	if err := dir.Follow(context.Background(), source(w.entities())); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	locked := &lockedReader{random: random}
	nonces, err := digest.NewServer(digest.ServerConfig{Key: make([]byte, 32), Rand: locked})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, media: &fakeMedia{}, records: &sink{}, health: &pulse{}}
	r.net = &network{r: r, peers: map[destination]*peer{}, names: map[string][]resolve.Target{}}
	cfg := Config{
		Directory: dir, Media: r.media, Records: r.records, Digest: nonces, Resolver: r.net, Egress: w.egress,
		Name: nodeName, Domain: domain, Rand: locked, Limits: w.limits,
		Ports: func(p transport.Proto) uint16 { return p.DefaultPort() },
	}
	if !w.noHealth {
		cfg.Health = r.health
	}
	if r.sbc, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if r.layer, err = transaction.New(transaction.Config{Core: r.sbc, Clock: clock.System(), Rand: locked}); err != nil {
		t.Fatal(err)
	}
	r.sbc.Attach(r.layer, r.net)
	return r
}

// lockedReader lets goroutines share a generator.
type lockedReader struct {
	mu     sync.Mutex
	random *rand.ChaCha8
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.Read(b)
}

// end lets every timer of a signalling transaction pass and checks that nothing is left.
func (r *rig) end() {
	r.t.Helper()
	time.Sleep(3 * time.Minute)
	synctest.Wait()
	s := r.sbc
	s.mu.Lock()
	if len(s.dialogs)+len(s.merges)+len(s.live)+len(s.pairs) != 0 {
		r.t.Errorf("left: %d dialogs, %d merge entries, %d calls, %d pairs", len(s.dialogs), len(s.merges), len(s.live), len(s.pairs))
	}
	s.mu.Unlock()
	if n := s.Active(); n != 0 || len(s.actives.by)+len(s.actives.connectors)+len(s.actives.unproven) != 0 {
		r.t.Errorf("%d calls are still counted, by account %v, by connector %v, unproven %v", n, s.actives.by, s.actives.connectors, s.actives.unproven)
	}
	if x := r.layer.Stats(); x.ServerNow.Load() != 0 || x.ClientNow.Load() != 0 {
		r.t.Errorf("left: %d server and %d client transactions", x.ServerNow.Load(), x.ClientNow.Load())
	}
	if n := s.stats.Panics.Load(); n != r.panics {
		r.t.Errorf("%d panics, want %d", n, r.panics)
	}
	r.media.check(r.t)
	select {
	case <-s.calls.Idle():
	default:
		r.t.Error("goroutines of calls are left")
	}
}

// sink keeps records.
type sink struct {
	mu    sync.Mutex
	all   []call.Record
	fail  error
	takes time.Duration // of the disk
}

func (s *sink) Submit(r call.Record, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r)
	fail, takes := s.fail, s.takes
	go func() {
		time.Sleep(takes)
		done(fail)
	}()
}

func (s *sink) list() []call.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// record waits for the one record there must be.
func (r *rig) record() call.Record {
	r.t.Helper()
	synctest.Wait()
	all := r.records.list()
	if len(all) != 1 {
		r.t.Fatalf("%d records, want 1: %+v", len(all), all)
	}
	return all[0]
}

// wantRecord checks the one record's reason, status and who hung up.
func (r *rig) wantRecord(reason call.Reason, status int, by string) call.Record {
	r.t.Helper()
	got := r.record()
	if got.Reason != reason.String() || got.Status != status || got.HungUpBy != by {
		r.t.Errorf("record says %s, %d, hung up by %q; want %s, %d, %q", got.Reason, got.Status, got.HungUpBy, reason, status, by)
	}
	return got
}

func (r *rig) noRecord() {
	r.t.Helper()
	synctest.Wait()
	if all := r.records.list(); len(all) != 0 {
		r.t.Errorf("records %+v, want none", all)
	}
}

// pulse takes signs of life.
type pulse struct {
	mu     sync.Mutex
	seen   []string
	panics bool
}

func (p *pulse) Seen(connector string, source netip.Addr, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panics {
		panic("a pulse with a fault in it")
	}
	p.seen = append(p.seen, connector+" "+source.String())
}

// destination is where the node dials.
type destination struct {
	proto transport.Proto
	addr  netip.AddrPort
}

// network resolves and connects.
type network struct {
	r     *rig
	mu    sync.Mutex
	peers map[destination]*peer
	names map[string][]resolve.Target
	// trouble are names whose servers do not answer.
	trouble map[string]bool
	// asked are the names looked up, dialed the targets dialled.
	asked  []resolve.Query
	dialed []transport.Target
	// hang makes connecting wait until the caller gives up.
	hang map[netip.AddrPort]bool
	full bool // of connections to others
	// opened are the connections that peers have opened and proven their names on.
	opened map[string]transport.Flow
	proofs []transport.ClientTLS // that were asked for
}

var errRefused = errors.New("connection refused")

// Resolve answers from names, and for IP literals.
func (n *network) Resolve(_ context.Context, q resolve.Query) ([]resolve.Target, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, q)
	if n.trouble[q.Host] {
		return nil, resolve.ErrTemporary
	}
	if targets, ok := n.names[q.Host]; ok {
		return targets, nil
	}
	addr, err := netip.ParseAddr(q.Host)
	if err != nil {
		return nil, resolve.ErrNotFound
	}
	port := q.Port
	if port == 0 {
		port = 5060
		if q.Secure {
			port = 5061
		}
	}
	proto := q.Transport
	switch {
	case q.Secure:
		proto = resolve.TLS
	case proto == resolve.ProtoAny:
		proto = resolve.UDP
	}
	return []resolve.Target{{Proto: proto, Name: q.Host, Addr: netip.AddrPortFrom(addr, port)}}, nil
}

// Dial opens the flow to a peer that the test has put there.
func (n *network) Dial(ctx context.Context, t transport.Target) (transport.Flow, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, t)
	p, hang := n.peers[destination{t.Proto, t.Addr}], n.hang[t.Addr] && t.Proto != transport.UDP
	n.mu.Unlock()
	if n.full && t.Proto != transport.UDP {
		return transport.Flow{}, transport.ErrTooManyConnections
	}
	if hang {
		<-ctx.Done()
		return transport.Flow{}, context.Cause(ctx)
	}
	if p == nil {
		if t.Proto == transport.UDP {
			return n.r.peer(t.Proto, t.Addr.String()).near.Flow(), nil // a datagram is sent, whoever is there
		}
		return transport.Flow{}, errRefused
	}
	return p.near.Flow(), nil
}

// Reuse returns what a test has put into opened.
func (n *network) Reuse(c *transport.ClientTLS, _ uint16) (transport.Flow, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proofs = append(n.proofs, *c)
	f, ok := n.opened[c.ServerName]
	return f, ok
}

// name makes a host name lead to addresses.
func (n *network) name(host string, proto resolve.Proto, addrs ...string) {
	for _, a := range addrs {
		n.names[host] = append(n.names[host], resolve.Target{Proto: proto, Name: host, Addr: netip.MustParseAddrPort(a)})
	}
}

// peer puts a user agent at an address, reachable by the node's Dial.
func (r *rig) peer(proto transport.Proto, addr string) *peer {
	at := netip.MustParseAddrPort(addr)
	node := netip.AddrPortFrom(netip.MustParseAddr(nodeIP), proto.DefaultPort())
	p := &peer{r: r, proto: proto, addr: at, made: time.Now()}
	p.near, p.far = siptest.WireBetween(proto, clock.System(), node, at)
	p.near.Attach(r.layer)
	p.far.Attach(p)
	r.net.mu.Lock()
	r.net.peers[destination{proto, at}] = p
	r.net.mu.Unlock()
	return p
}

// customer connects a customer's phone, at a port of its own.
func (r *rig) customer(proto transport.Proto) *peer { return r.phone(proto, customerIP) }

func (r *rig) phone(proto transport.Proto, ip string) *peer {
	r.flows++
	return r.peer(proto, fmt.Sprintf("%s:%d", ip, 20000+r.flows))
}

// tel puts the carrier's first target in its place.
func (r *rig) tel() *peer { return r.peer(transport.UDP, carrierIP+":5060") }

// backup puts the carrier's second target in its place.
func (r *rig) backup() *peer { return r.peer(transport.UDP, backupIP+":5060") }

// pbx puts the customer's PBX behind the route, over TLS under the name pbx.example.org.
func (r *rig) pbx() *peer {
	r.net.name("pbx.example.org", resolve.TLS, pbxIP+":5061")
	return r.peer(transport.TLS, pbxIP+":5061")
}

// peer is a user agent, driven by the script of a test.
type peer struct {
	r         *rig
	proto     transport.Proto
	addr      netip.AddrPort
	near, far *siptest.End
	made      time.Time // what the ends' times count from

	mu    sync.Mutex
	inbox []*sip.Message
	all   []*sip.Message // everything that ever came
}

// Receive implements siptest.Receiver.
func (p *peer) Receive(_ transport.Flow, m *sip.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = append(p.inbox, m.Clone())
	p.all = append(p.all, p.inbox[len(p.inbox)-1])
}

func (p *peer) send(b []byte) {
	p.r.t.Helper()
	if err := p.far.Flow().Send(b); err != nil {
		p.r.t.Fatalf("send: %v", err)
	}
}

// want takes the next message, which must be this method or status.
func (p *peer) want(what string) *sip.Message {
	p.r.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) == 0 {
		p.r.t.Fatalf("%v got nothing, want %s", p.addr, what)
	}
	m := p.inbox[0]
	if got := describe(m); got != what {
		p.r.t.Fatalf("%v got\n%s\nwant %s", p.addr, m.Bytes(), what)
	}
	p.inbox = p.inbox[1:]
	return m
}

// quiet checks that nothing waits to be looked at.
func (p *peer) quiet() {
	p.r.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) != 0 {
		p.r.t.Fatalf("%v got\n%s\nwant nothing", p.addr, p.inbox[0].Bytes())
	}
}

// clear forgets what came, repetitions for instance.
func (p *peer) clear() {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = nil
}

// everything returns all bytes the peer ever got.
func (p *peer) everything() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, m := range p.all {
		b.Write(m.Bytes())
	}
	return b.String()
}

// describe names a message: its method, or its status.
func describe(m *sip.Message) string {
	if m.IsRequest() {
		return string(m.MethodToken())
	}
	return fmt.Sprint(m.Status())
}

// numbersKnown keeps the tests honest: the numbers they dial must be ordinary ones.
func TestNumbersOfTheTests(t *testing.T) {
	for _, n := range []trunk.Number{ownNumber, otherNumber, farNumber} {
		if numbering.Country(n) != "US" || numbering.HighRisk(n) {
			t.Errorf("%s is in %q, high risk %v", n, numbering.Country(n), numbering.HighRisk(n))
		}
	}
}
