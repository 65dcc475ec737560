package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Off is the Listen that opens no listener.
const Off Listen = "off"

// Listen is an address to listen on: HOST:PORT, where HOST may be empty for every address of the machine and PORT
// may be 0 for one that is free; or "off".
type Listen string

// UnmarshalText reads an address. For the API it may be a URL: CARILLON_API names the API for the client
// subcommands too, as a URL, and one variable should do for both.
func (l *Listen) UnmarshalText(text []byte) error {
	s := string(text)
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		s = u.Host
		if u.Port() == "" {
			s = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
	}
	if s == string(Off) {
		*l = Off
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is not a port between 0 and 65535", port)
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q is not an IP address", host)
		}
	}
	*l = Listen(s)
	return nil
}

// Enabled reports whether there is something to listen on.
func (l Listen) Enabled() bool { return l != "" && l != Off }

// String returns the address as it is given to net.Listen, or "off".
func (l Listen) String() string { return string(l) }

// port returns the port, or -1 when there is none.
func (l Listen) port() int {
	_, port, err := net.SplitHostPort(string(l))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return -1
	}
	return n
}

// Ports is a range of ports, both ends included.
type Ports struct{ Lo, Hi uint16 }

// Count is how many ports there are.
func (p Ports) Count() int { return int(p.Hi) - int(p.Lo) + 1 }

// UnmarshalText reads LO-HI.
func (p *Ports) UnmarshalText(text []byte) error {
	lo, hi, ok := strings.Cut(string(text), "-")
	l, err1 := strconv.ParseUint(lo, 10, 16)
	h, err2 := strconv.ParseUint(hi, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return fmt.Errorf("%q is not LO-HI with two ports up to 65535", text)
	}
	*p = Ports{uint16(l), uint16(h)}
	return nil
}

// String returns LO-HI.
func (p Ports) String() string { return fmt.Sprintf("%d-%d", p.Lo, p.Hi) }

// Size is a number of octets.
type Size int64

// UnmarshalText reads a number, which KiB, MiB, GiB or TiB may follow.
func (s *Size) UnmarshalText(text []byte) error {
	number, shift := string(text), 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(number, unit); ok {
			number, shift = n, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return fmt.Errorf("%q is not a size such as 64MiB", text)
	}
	*s = Size(n << shift)
	return nil
}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if shift := 10 * (4 - i); s != 0 && s%(1<<shift) == 0 {
			return strconv.FormatInt(int64(s>>shift), 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Store says where configuration is kept.
type Store struct {
	// Endpoints are the host:port of an external etcd cluster; empty stands for the store in this process.
	Endpoints []string
}

const etcdScheme = "etcd://"

// UnmarshalText reads "embedded" or etcd://host:port,host:port.
func (s *Store) UnmarshalText(text []byte) error {
	if string(text) == "embedded" {
		*s = Store{}
		return nil
	}
	list, ok := strings.CutPrefix(string(text), etcdScheme)
	if !ok {
		return fmt.Errorf("%q is neither embedded nor etcd://HOST:PORT,…", text)
	}
	var endpoints []string
	for _, e := range strings.Split(list, ",") {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(e, etcdScheme))
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" {
			return errors.New("each endpoint of etcd is HOST:PORT")
		}
		endpoints = append(endpoints, net.JoinHostPort(host, port))
	}
	*s = Store{Endpoints: endpoints}
	return nil
}

// Embedded reports whether the store is in this process.
func (s Store) Embedded() bool { return len(s.Endpoints) == 0 }

// String returns what UnmarshalText reads.
func (s Store) String() string {
	if s.Embedded() {
		return "embedded"
	}
	return etcdScheme + strings.Join(s.Endpoints, ",")
}
