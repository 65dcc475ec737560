package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"

	"carillon/trunk"
)

// Check judges a complete configuration without opening a listener. Its error holds one plain sentence a line,
// each of which names the flag to change.
func (c *Config) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c.checkNode(fail)
	c.checkListeners(fail)
	c.checkMedia(fail)
	c.checkTLS(fail)
	c.checkAPI(fail)
	c.checkBounds(fail)
	return errors.Join(errs...)
}

type failFunc func(format string, args ...any)

func (c *Config) checkNode(fail failFunc) {
	if c.Data == "" && !c.Dev {
		fail("--data names no folder; only a trial node (--dev) may run without one")
	}
	if c.Data == "" && !c.Store.Embedded() {
		fail("--store names an etcd cluster, so --data must name a folder for this node's keys and call records")
	}
	switch {
	case c.Domain == "":
		fail("--domain is required without --dev: it is the parent of every connector's host name")
	case !trunk.ValidHost(c.Domain) || c.Domain != strings.ToLower(c.Domain) || !strings.Contains(c.Domain, "."):
		fail("--domain %q is not a domain name in lower case with at least one dot", c.Domain)
	}
	if levels := []string{"debug", "info", "warn", "error"}; !slices.Contains(levels, c.LogLevel) {
		fail("--log-level %q is none of %s", c.LogLevel, strings.Join(levels, ", "))
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		fail("--log-format %q is neither text nor json", c.LogFormat)
	}
}

func (c *Config) checkListeners(fail failFunc) {
	if !c.API.Enabled() {
		fail("--api cannot be off: a node without its API can be neither configured nor asked")
	}
	if !c.SIPUDP.Enabled() && !c.SIPTCP.Enabled() && !c.SIPTLS.Enabled() {
		fail("--sip-udp, --sip-tcp and --sip-tls are all off: no call could reach this node")
	}
	tcp := map[Listen]string{}
	for _, l := range []struct {
		flag string
		addr Listen
	}{{"api", c.API}, {"sip-tcp", c.SIPTCP}, {"sip-tls", c.SIPTLS}, {"dns", c.DNS}, {"metrics", c.Metrics}} {
		if !l.addr.Enabled() || l.addr.port() == 0 {
			continue
		}
		if other, twice := tcp[l.addr]; twice {
			fail("--%s and --%s both listen on %s", other, l.flag, l.addr)
		}
		tcp[l.addr] = l.flag
	}
	for _, l := range []struct {
		flag string
		list []netip.Prefix
	}{{"proxy-protocol", c.ProxyProtocol}, {"api-proxy-protocol", c.APIProxyProtocol}} {
		for _, p := range l.list {
			switch {
			case p.Bits() == 0:
				fail("--%s %s would let anybody speak for any address", l.flag, p)
			case p != p.Masked():
				fail("--%s %s has bits behind its prefix; did you mean %s?", l.flag, p, p.Masked())
			case p.Addr().Is4In6():
				fail("--%s %s is an IPv4 network in IPv6 clothes; write it as IPv4", l.flag, p)
			}
		}
	}
	if len(c.ProxyProtocol) > 0 && !c.SIPTCP.Enabled() && !c.SIPTLS.Enabled() {
		fail("--proxy-protocol is for SIP over TCP and TLS, which are both off")
	}
	for _, r := range c.Resolver {
		if !r.IsValid() || r.Port() == 0 || r.Addr().IsUnspecified() {
			fail("--resolver %s is not the address and port of a name server", r)
		}
	}
	c.checkAdvertise(fail)
}

func (c *Config) checkAdvertise(fail failFunc) {
	name, seen := "", map[string]netip.Addr{}
	for _, s := range c.SIPAdvertise {
		a, err := netip.ParseAddr(s)
		switch {
		case !trunk.ValidHost(s):
			fail("--sip-advertise %q is neither a host name nor an IP address", s)
		case err == nil && (a.IsUnspecified() || a.IsMulticast()):
			fail("--sip-advertise %s is not an address that peers can reach", s)
		case err == nil:
			oncePerFamily(fail, "sip-advertise", seen, a)
		case name != "":
			fail("--sip-advertise has two host names, %s and %s: Contact and Via have room for one", name, s)
		default:
			name = s
		}
	}
}

// oncePerFamily refuses a second address of a family: a message has room for one.
func oncePerFamily(fail failFunc, flag string, seen map[string]netip.Addr, a netip.Addr) {
	family := "IPv6"
	if a.Unmap().Is4() {
		family = "IPv4"
	}
	if other, twice := seen[family]; twice {
		fail("--%s has two addresses of %s, %s and %s", flag, family, other, a)
	}
	seen[family] = a
}

// portsPerLeg are RTP and RTCP.
const portsPerLeg = 2

func (c *Config) checkMedia(fail failFunc) {
	if len(c.MediaIP) == 0 {
		fail("--media-ip is required without --dev: it is the address written into session descriptions")
	}
	for _, ip := range c.MediaIP {
		if ip.IsUnspecified() || ip.IsMulticast() || !ip.IsValid() {
			fail("--media-ip %s is not the address of one interface", ip)
		}
	}
	seen := map[string]netip.Addr{}
	for _, a := range c.MediaAdvertise {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			fail("--media-advertise %s is not an address that peers can send to", a)
		}
		oncePerFamily(fail, "media-advertise", seen, a)
	}
	switch p := c.MediaPorts; {
	case p.Lo < 1024:
		fail("--media-ports begins at %d: ports below 1024 belong to the system", p.Lo)
	case int(p.Hi)-int(p.Lo)+1 < 2*portsPerLeg:
		fail("--media-ports %s is too short for the two legs of one call, which take %d ports", p, 2*portsPerLeg)
	}
	for _, l := range []struct {
		flag string
		addr Listen
	}{{"sip-udp", c.SIPUDP}, {"dns", c.DNS}} {
		if n := l.addr.port(); l.addr.Enabled() && n >= int(c.MediaPorts.Lo) && n <= int(c.MediaPorts.Hi) {
			fail("--%s %s lies within --media-ports %s", l.flag, l.addr, c.MediaPorts)
		}
	}
}

func (c *Config) checkAPI(fail failFunc) {
	if names := []string{"ThrottledClientException", "ThrottlingException"}; !slices.Contains(names, c.APIThrottleException) {
		fail("--api-throttle-exception %q is neither %s", c.APIThrottleException, strings.Join(names, " nor "))
	}
}

func (c *Config) checkTLS(fail failFunc) {
	if len(c.TLSCert) != len(c.TLSKey) {
		fail("--tls-cert and --tls-key are given together, one key for each certificate, or not at all")
	} else if _, err := LoadCertificates(c.TLSCert, c.TLSKey); err != nil {
		fail("%w", err)
	}
	if c.TLSTrust != "" {
		pem, err := os.ReadFile(c.TLSTrust)
		if err != nil {
			fail("--tls-trust: %w", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			fail("--tls-trust %s holds no certificate in PEM", c.TLSTrust)
		}
	}
}

// checkBounds holds every number against the min and max of its field.
func (c *Config) checkBounds(fail failFunc) {
	for _, f := range Fields() {
		v := f.value(c)
		for _, bound := range []struct {
			text string
			word string
			sign int64
		}{{f.Min, "less", 1}, {f.Max, "more", -1}} {
			if bound.text == "" {
				continue
			}
			limit := reflect.New(v.Type()).Elem()
			if err := setText(limit, bound.text); err != nil {
				panic("config: the bound of --" + f.Name + " does not parse: " + err.Error()) // held by a test
			}
			if (v.Int()-limit.Int())*bound.sign < 0 {
				fail("--%s %v is %s than %v", f.Name, v.Interface(), bound.word, limit.Interface())
			}
		}
	}
}
