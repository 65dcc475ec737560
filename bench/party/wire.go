package party

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// Wire carries messages to the system under test and back.
type Wire struct {
	Proto string // as in a Via
	Local string
	Write func(b []byte) error
	Close func()
}

// OverUDP opens a socket at host for datagrams to and from one address.
func OverUDP(host, to string, take func(Message)) (*Wire, error) {
	remote, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		return nil, fmt.Errorf("open the caller's socket: %w", err)
	}
	_ = conn.SetReadBuffer(4 << 20) // as much as there is
	go func() {
		b := make([]byte, 65535)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			take(Message(append([]byte(nil), b[:n]...)))
		}
	}()
	addr := remote.AddrPort()
	return &Wire{"UDP", conn.LocalAddr().String(), func(b []byte) error {
		_, err := conn.WriteToUDPAddrPort(b, addr)
		return err
	}, func() { conn.Close() }}, nil
}

// OverTLS opens one connection from host. Certificates are not checked: what is measured is the other end.
func OverTLS(host, to, name string, take func(Message)) (*Wire, error) {
	d := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}},
		Config:    &tls.Config{InsecureSkipVerify: true, ServerName: name},
	}
	conn, err := d.Dial("tcp4", to)
	if err != nil {
		return nil, fmt.Errorf("connect the caller: %w", err)
	}
	go func() {
		var rest []byte
		b := make([]byte, 65535)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			rest = append(rest, b[:n]...)
			for {
				m, left, err := Frame(rest)
				if err != nil {
					conn.Close()
					return
				}
				if rest = left; m == nil {
					break
				}
				take(append(Message(nil), m...))
			}
		}
	}()
	var mu sync.Mutex
	return &Wire{"TLS", conn.LocalAddr().String(), func(b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := conn.Write(b)
		return err
	}, func() { conn.Close() }}, nil
}
