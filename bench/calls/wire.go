package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// wire carries messages to the system under test and back.
type wire struct {
	proto string // as in a Via
	local string
	write func(b []byte) error
	close func()
}

// overUDP opens a socket at host for datagrams to and from one address.
func overUDP(host, to string, take func(message)) (*wire, error) {
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
			take(message(append([]byte(nil), b[:n]...)))
		}
	}()
	addr := remote.AddrPort()
	return &wire{"UDP", conn.LocalAddr().String(), func(b []byte) error {
		_, err := conn.WriteToUDPAddrPort(b, addr)
		return err
	}, func() { conn.Close() }}, nil
}

// overTLS opens one connection from host. Certificates are not checked: what is measured is the other end.
func overTLS(host, to, name string, take func(message)) (*wire, error) {
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
				m, left, err := frame(rest)
				if err != nil {
					conn.Close()
					return
				}
				if rest = left; m == nil {
					break
				}
				take(append(message(nil), m...))
			}
		}
	}()
	var mu sync.Mutex
	return &wire{"TLS", conn.LocalAddr().String(), func(b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := conn.Write(b)
		return err
	}, func() { conn.Close() }}, nil
}
