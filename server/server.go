// Package server builds a node from its configuration and stops it again. It is the only package that knows every
// plane; what the planes need of each other they get here, through their own small interfaces.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/api"
	"carillon/cdr"
	"carillon/clock"
	"carillon/config"
	"carillon/directory"
	"carillon/egress"
	"carillon/headroom"
	"carillon/lab"
	"carillon/media"
	"carillon/sbc"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/store"
)

// Options are what a node is given by the program that starts it, besides its configuration.
type Options struct {
	// Logger is the node's log; nil is silent.
	Logger *slog.Logger
	// Random is the source of ids, keys and secrets; nil is the system's.
	Random io.Reader
	// Clock is the node's clock; nil is the system's.
	Clock clock.Clock
	// OpenFiles is how many files the process may have open; 0 asks the system.
	OpenFiles int
}

// Node is one running process of an installation.
type Node struct {
	config  config.Config
	log     *slog.Logger
	random  io.Reader
	clock   clock.Clock
	metrics *prometheus.Registry

	openFiles int   // as in Options
	files     files // the share of each part

	dir       string // data directory
	temporary bool   // dir is removed at the end
	store     *store.Store
	directory *directory.Directory
	records   *cdr.Log
	identity  *identity

	bound     addresses
	open      listeners
	gate      *gate
	transport *transport.Transport
	layer     *transaction.Layer
	media     *media.Plane
	resolver  *resolve.Resolver
	sbc       *sbc.Server
	health    *health
	sweeper   *sweeper
	headroom  *headroom.Keeper
	lab       *lab.Lab
	http      []*http.Server
	// apiConnections and metricsConnections bound the connections to the two listeners.
	apiConnections, metricsConnections *api.Connections
	// apiProxyRefused counts connections to the API that a balancer began without a good header.
	apiProxyRefused atomic.Uint64

	background context.Context
	stop       context.CancelFunc
	running    sync.WaitGroup
	closing    sync.Once
	closeErr   error
	ready      Ready
	announced  bool // the ready file is ours
}

// Start builds a node and returns once every listener answers. ctx bounds the start only. What was started is closed
// again when a step fails.
func Start(ctx context.Context, c config.Config, o Options) (*Node, error) {
	n := &Node{config: c, log: o.Logger, random: o.Random, clock: o.Clock, openFiles: o.OpenFiles, metrics: prometheus.NewRegistry()}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.random == nil {
		n.random = rand.Reader
	}
	if n.clock == nil {
		n.clock = clock.System()
	}
	n.background, n.stop = context.WithCancel(context.Background())
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"", n.claimReadyFile}, // its refusal says all there is to say
		{"prepare memory", n.startCollector},
		{"prepare data directory", n.prepareData},
		{"", n.shareFiles},
		{"", n.openStore}, // the store says so itself
		{"set up installation", n.bootstrap},
		{"load certificates", n.loadIdentity},
		{"open call records", n.openRecords},
		{"open SIP listeners", n.listenSIP},
		{"open listeners", n.listenOthers},
		{"start media", n.startMedia},
		{"start signalling", n.startSignalling},
		{"start lab carrier", n.startLab},
		{"start DNS", n.startDNS},
		{"start API", n.startAPI},
		{"start metrics", n.startMetrics},
		{"start trimming", n.startTrimming},
		{"write ready file", n.announce},
	} {
		if err := step.do(ctx); err != nil {
			if step.what != "" {
				err = fmt.Errorf("%s: %w", step.what, err)
			}
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// prepareData makes the data directory, a temporary one for a trial without --data.
func (n *Node) prepareData(context.Context) error {
	n.dir = n.config.Data
	if n.dir == "" {
		dir, err := os.MkdirTemp("", "carillon-")
		if err != nil {
			return err
		}
		n.dir, n.temporary = dir, true
	}
	return os.MkdirAll(n.dir, 0o700)
}

func (n *Node) openStore(ctx context.Context) error {
	s, err := store.Open(ctx, store.Config{
		Dir: n.dir, Endpoints: n.config.Store.Endpoints, Clock: n.clock, Random: n.random, Logger: n.log.With("plane", "store"),
	})
	if err != nil {
		return err
	}
	n.store = s
	n.directory = directory.New(directory.Config{Logger: n.log.With("plane", "directory"), Clock: n.clock})
	n.running.Go(func() {
		if err := n.directory.Follow(n.background, s); err != nil && n.background.Err() == nil {
			n.log.Error("follow store", "error", err)
		}
	})
	return nil
}

func (n *Node) openRecords(context.Context) error {
	log, err := cdr.Open(n.recordsConfig())
	if err != nil {
		return err
	}
	n.records = log
	exporter, err := cdr.NewExporter(log, filepath.Join(n.dir, "cdr"))
	if err != nil {
		return err
	}
	n.running.Go(func() { exporter.Run(n.background) })
	return nil
}

// policy says which addresses learned from others may be sent to.
func (n *Node) policy() egress.Policy {
	return egress.Policy{
		AllowLoopback: n.config.Dev || n.config.AllowLoopback,
		AllowPrivate:  n.config.Dev || n.config.AllowPrivate,
		SingleAccount: n.singleAccount,
		Own:           append(n.bound.own(), n.advertised(n.bound.udp, n.bound.tcp, n.bound.tls)...),
	}
}

// mediaPolicy is the policy for media, which is UDP: a peer's media port may well have the number of a TCP listener.
func (n *Node) mediaPolicy() egress.Policy {
	p := n.policy()
	p.Own = append(addresses{udp: n.bound.udp, dns: n.bound.dns}.own(), n.advertised(n.bound.udp)...)
	return p
}

// singleAccount reports whether one account has all the connectors: nobody then reaches a network that is not his.
func (n *Node) singleAccount() bool { return n.directory.Snapshot().Accounts() <= 1 }

func (n *Node) startMedia(context.Context) error {
	// Ports are bound call by call; that no call could bind one must show now.
	for _, ip := range n.config.MediaIP {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
		if err != nil {
			return fmt.Errorf("bind --media-ip %s: %w", ip, err)
		}
		_ = c.Close()
	}
	c := media.Config{
		IPs: n.config.MediaIP, Advertise: n.config.MediaAdvertise, PortLo: n.config.MediaPorts.Lo, PortHi: n.config.MediaPorts.Hi,
		Egress: n.mediaPolicy(), Clock: n.clock, Rand: n.random, Logger: n.log.With("plane", "media"),
		SilenceTimeout: n.config.MediaSilence, DSCP: n.config.MediaDSCP, XDP: n.config.MediaXDP, MaxPorts: n.files.media,
	}
	plane, err := media.New(c)
	if err != nil && c.XDP != "" {
		return fmt.Errorf("take media past the kernel (--media-xdp): %w", err)
	}
	n.media = plane
	return err
}

// serve runs an HTTP server on a listener until the node is closed.
func (n *Node) serve(s *http.Server, ln net.Listener) {
	n.http = append(n.http, s)
	n.running.Go(func() {
		if err := s.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("serve HTTP", "address", ln.Addr().String(), "error", err)
		}
	})
}

// Drain refuses new calls, waits for those that are up as long as --drain says, and then ends them.
func (n *Node) Drain(ctx context.Context) {
	if n.sbc != nil {
		n.sbc.Drain(ctx)
	}
}

// Close stops the node at once: running calls get BYE. It is idempotent.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closeErr = n.shutDown() })
	return n.closeErr
}

// closeWait bounds the end of API requests and of calls that get their BYE.
const closeWait = 3 * time.Second

func (n *Node) shutDown() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	defer n.headroom.End()
	if n.sbc != nil {
		ended, end := context.WithCancel(ctx)
		end() // do not wait for calls
		n.sbc.Drain(ended)
	}
	for _, s := range n.http {
		errs = append(errs, s.Shutdown(ctx))
	}
	if n.lab != nil {
		errs = append(errs, n.lab.Close())
	}
	if n.transport != nil {
		n.gate.open()
		errs = append(errs, n.transport.Close())
	}
	if n.media != nil {
		errs = append(errs, n.media.Close())
	}
	n.stop()
	n.running.Wait()
	n.open.close()
	if n.records != nil {
		errs = append(errs, n.records.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.announced {
		if err := os.Remove(n.config.ReadyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if n.temporary {
		errs = append(errs, os.RemoveAll(n.dir))
	}
	return errors.Join(errs...)
}
