// Package config reads what a node is started with: flags, environment, a file, defaults.
//
// There is one struct. A flag, its variable in the environment, its key in the file and its row in docs/config.md
// are all made from the same field, so none of them can be forgotten. A flag beats the environment, the
// environment beats the file, the file beats the default. Everything that is not here is in the store and is
// changed through the API.
package config

import (
	"net/netip"
	"time"
)

// Config is what a node is started with. The zero value stands for the defaults of a node in production, except
// that Domain and MediaIP have none: see WithDefaults and Check.
//
// The tags are those of the command line's parser: name is the flag and the key of the file, default and dev are
// the values without and with --dev, in the spelling of the flag.
type Config struct {
	Dev       bool   `name:"dev" group:"Node" help:"Run a trial node that needs no file, no root and no network: everything on 127.0.0.1, an own CA, a pool of numbers, the lab carrier."`
	Data      string `name:"data" group:"Node" placeholder:"DIR" default:"/var/lib/carillon" dev:"" help:"Folder of everything that must survive a restart. Empty, with --dev only: a temporary folder that is removed at the end."`
	File      string `name:"config" group:"Node" placeholder:"FILE" help:"File with further settings in YAML: each flag's name without its dashes is a key."`
	ReadyFile string `name:"ready-file" group:"Node" placeholder:"FILE" help:"File that is removed at start and written once every listener answers."`
	Store     Store  `name:"store" group:"Node" placeholder:"embedded|etcd://HOST:PORT,…" default:"embedded" help:"Where configuration is kept: in this process, or on an etcd cluster."`
	Domain    string `name:"domain" group:"Node" placeholder:"NAME" dev:"carillon.test" help:"Parent of the host name of every new connector. Required without --dev."`
	LogLevel  string `name:"log-level" group:"Node" placeholder:"LEVEL" default:"info" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat string `name:"log-format" group:"Node" placeholder:"FORMAT" default:"text" help:"Form of the log on standard error: text or json."`

	API    Listen `name:"api" group:"Listeners" placeholder:"ADDR" default:"127.0.0.1:8080" help:"Address of the API, as HOST:PORT."`
	APITLS bool   `name:"api-tls" group:"Listeners" help:"Serve the API over TLS, with the certificate of --tls-cert."`
	SIPUDP Listen `name:"sip-udp" group:"Listeners" placeholder:"ADDR" default:":5060" dev:"127.0.0.1:5060" help:"Address of SIP over UDP."`
	SIPTCP Listen `name:"sip-tcp" group:"Listeners" placeholder:"ADDR" default:":5060" dev:"127.0.0.1:5060" help:"Address of SIP over TCP."`
	SIPTLS Listen `name:"sip-tls" group:"Listeners" placeholder:"ADDR" default:":5061" dev:"127.0.0.1:5061" help:"Address of SIP over TLS."`
	DNS    Listen `name:"dns" group:"Listeners" placeholder:"ADDR" default:":53" dev:"127.0.0.1:5353" help:"Address of the authoritative DNS server of --domain, over UDP and TCP."`
	// A balancer speaks for its clients: whose addresses these are is trusted with every rule that looks at a source.
	ProxyProtocol    []netip.Prefix `name:"proxy-protocol" group:"Listeners" placeholder:"CIDR" help:"Load balancers whose connections to SIP over TCP and TLS must begin with a PROXY protocol header (version 1 or 2); may be repeated. The source in it then counts for lists, limits and records. From any other address the header closes the connection."`
	APIProxyProtocol []netip.Prefix `name:"api-proxy-protocol" group:"Listeners" placeholder:"CIDR" help:"The same for connections to the API; may be repeated."`
	Metrics          Listen         `name:"metrics" group:"Listeners" placeholder:"ADDR" default:"127.0.0.1:9090" help:"Address of the metrics in Prometheus form."`

	SIPAdvertise   []string         `name:"sip-advertise" group:"Addresses" placeholder:"NAME" help:"Host name or address that peers reach SIP under, where it is not the one listened on (cloud NAT). It must be in the certificate. May be repeated: one host name, which Contact and Via then have, and one address of each family, which connectors' host names resolve to."`
	MediaIP        []netip.Addr     `name:"media-ip" group:"Addresses" placeholder:"IP" dev:"127.0.0.1" help:"Address that media is sent from and received on; may be repeated. Required without --dev."`
	MediaPorts     Ports            `name:"media-ports" group:"Addresses" placeholder:"LO-HI" default:"20000-29999" help:"UDP ports of media; each leg of a call takes two. Fewer are used at once where the process may not have as many files open."`
	MediaAdvertise []netip.Addr     `name:"media-advertise" group:"Addresses" placeholder:"IP" help:"Address that peers reach media under, where it is not --media-ip; may be repeated, one of each family."`
	MediaXDP       string           `name:"media-xdp" group:"Addresses" placeholder:"INTERFACE" help:"Network interface on which media pass the kernel by (AF_XDP), in about half the processor time. Takes Linux, the rights CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, locked memory, and an address of --media-ip on the interface; firewall rules do not see these packets. docs/operating.md has the rest."`
	MediaDSCP      int              `name:"media-dscp" group:"Addresses" placeholder:"N" default:"46" min:"0" max:"63" help:"Mark of media packets for the network's priorities (DSCP, RFC 2474): 46 is EF, expedited forwarding. 0 marks none."`
	SIPDSCP        int              `name:"sip-dscp" group:"Addresses" placeholder:"N" default:"24" min:"0" max:"63" help:"Mark of SIP packets: 24 is CS3, call signalling. 0 marks none."`
	Resolver       []netip.AddrPort `name:"resolver" group:"Addresses" placeholder:"ADDR" help:"Name server, as IP:PORT, that is asked for the hosts of carriers and routes; may be repeated, the first that answers counts. Without any those of /etc/resolv.conf are asked."`
	AllowPrivate   bool             `name:"allow-private" group:"Addresses" help:"Allow calls to and media at private addresses also where several accounts share the installation."`
	AllowLoopback  bool             `name:"allow-loopback" group:"Addresses" help:"Allow calls to and media at loopback addresses; always on with --dev."`

	TLSCert  []string `name:"tls-cert" group:"TLS" placeholder:"FILE" help:"Certificate chain of this node in PEM; may be repeated, each with its --tls-key. Clients get the first that has the name they ask for and that they can verify, else the first of all. Without any an own CA signs one. SIGHUP reads the files again."`
	TLSKey   []string `name:"tls-key" group:"TLS" placeholder:"FILE" help:"Private key of the --tls-cert at the same place, in PEM."`
	TLSTrust string   `name:"tls-trust" group:"TLS" placeholder:"FILE" help:"Certificates in PEM that are trusted beside the system's when calling out, and to verify the certificates of clients. SIGHUP reads it again."`

	MaxCalls            int  `name:"max-calls" group:"Limits" placeholder:"N" default:"10000" min:"1" help:"Calls this node holds at once; above it new ones are refused as node_full."`
	MaxUnprovenCalls    int  `name:"max-unproven-calls" group:"Limits" placeholder:"N" default:"5000" min:"1" help:"Calls of one connector at once whose caller is known only by the address of a datagram and has not yet sent the ACK."`
	MaxConnections      int  `name:"max-connections" group:"Limits" placeholder:"N" default:"10000" min:"1" help:"SIP connections accepted at once; fewer where the process may not have as many files open."`
	MaxConnectionsPerIP int  `name:"max-connections-per-ip" group:"Limits" placeholder:"N" default:"100" min:"1" help:"SIP connections accepted at once from one address."`
	MaxTransactions     int  `name:"max-transactions" group:"Limits" placeholder:"N" default:"200000" min:"1" help:"SIP transactions held at once, each way."`
	MaxDatagram         int  `name:"max-datagram" group:"Limits" placeholder:"OCTETS" default:"1300" min:"512" max:"65535" help:"Longest SIP request sent over UDP; a longer one goes over TCP where the peer takes it, and over UDP where it does not. 65535 sends all over UDP."`
	MemoryHeadroom      Size `name:"memory-headroom" group:"Limits" placeholder:"SIZE" default:"0" help:"Memory that may fill with what is no longer used before it is looked through: more costs memory and saves processor time. 0 takes a 64th of what the machine or container has, from 64MiB to 256MiB. A node that holds more than that lets as much again fill. GOGC in the environment takes its place."`
	MaxRecordBytes      Size `name:"max-record-bytes" group:"Limits" placeholder:"SIZE" default:"1GiB" min:"1048576" help:"Size of the log of call records; the oldest exported ones go first."`
	AuditEntries        int  `name:"audit-entries" group:"Limits" placeholder:"N" default:"100000" min:"1" help:"Entries of the audit log kept of what each account's keys did; at most 64 MiB; the oldest go first, within 10 minutes."`
	ShortestPrefixIPv4  int  `name:"shortest-prefix-ipv4" group:"Limits" placeholder:"BITS" default:"8" min:"1" max:"32" help:"Shortest IPv4 prefix that CidrAllowedList may hold."`
	ShortestPrefixIPv6  int  `name:"shortest-prefix-ipv6" group:"Limits" placeholder:"BITS" default:"32" min:"1" max:"128" help:"Shortest IPv6 prefix that CidrAllowedList may hold."`

	MaxAPIConnections      int    `name:"max-api-connections" group:"Limits" placeholder:"N" default:"4096" min:"1" help:"Connections to the API open at once; for one more the one that has waited longest for a whole request is closed. Fewer where the process may not have as many files open."`
	MaxAPIConnectionsPerIP int    `name:"max-api-connections-per-ip" group:"Limits" placeholder:"N" default:"1024" min:"1" help:"Connections to the API open at once from one address."`
	APIThrottleException   string `name:"api-throttle-exception" group:"Limits" placeholder:"NAME" default:"ThrottledClientException" help:"What a request beyond its account's rate is answered with, beside status 429: ThrottledClientException, as AWS does, or ThrottlingException, which AWS CLI 2, boto3's standard mode and the Go SDK 2 back off from."`

	TargetSilence time.Duration `name:"target-silence" group:"Times" placeholder:"DURATION" default:"3.5s" min:"100ms" help:"How long a target may be silent before the next one is tried."`
	RingTime      time.Duration `name:"ring-time" group:"Times" placeholder:"DURATION" default:"3m" min:"1s" help:"How long a target may ring."`
	MediaSilence  time.Duration `name:"media-silence" group:"Times" placeholder:"DURATION" default:"1m" min:"1s" help:"How long promised media may be silent before the call is ended."`
	MaxCallTime   time.Duration `name:"max-call-time" group:"Times" placeholder:"DURATION" default:"4h" min:"1s" help:"Longest time a call may last."`
	AuditKeep     time.Duration `name:"audit-keep" group:"Times" placeholder:"DURATION" default:"2160h" min:"1h" help:"How long entries of the audit log are kept; 2160h are 90 days."`
	StoreStale    time.Duration `name:"store-stale" group:"Times" placeholder:"DURATION" default:"30s" min:"1s" help:"How long an external store may be out of reach before this node leaves DNS and refuses new calls. It must be longer than a moment of trouble on the network."`
	Drain         time.Duration `name:"drain" group:"Times" placeholder:"DURATION" default:"5m" min:"1s" help:"How long running calls may go on after SIGTERM."`
}

// Default returns the defaults, those of a trial node if dev is set.
func Default(dev bool) Config {
	c := Config{Dev: dev}
	for _, f := range Fields() {
		text := f.Default
		if dev {
			text = f.DevDefault
		}
		if text == "" {
			continue
		}
		if err := setText(f.value(&c), text); err != nil {
			panic("config: the default of --" + f.Name + " does not parse: " + err.Error()) // held by a test
		}
	}
	return c
}

// WithDefaults returns c with the default of every field that is zero. It is for nodes that a program starts by
// itself; Load knows which fields were given.
func (c Config) WithDefaults() Config {
	defaults := Default(c.Dev)
	for _, f := range Fields() {
		if v := f.value(&c); v.IsZero() {
			v.Set(f.value(&defaults))
		}
	}
	return c
}
