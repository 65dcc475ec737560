package main

import (
	"path/filepath"
	"testing"
	"time"

	"carillon/bench/party"
)

// The load works against a node as it is: no call fails, over UDP and over TLS with SRTP, and held calls are let go.
func TestLoad(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "carillon")
	if err := party.Build(binary); err != nil {
		t.Fatal(err)
	}
	s := settings{rate: 50, hold: 10 * time.Millisecond}
	for _, secure := range []bool{false, true} {
		t.Run(variant(secure), func(t *testing.T) {
			n := &party.Node{Binary: binary, Data: t.TempDir()}
			c, err := newCallee(party.CalleeHost)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			defer n.Stop()
			if err := n.Start(secure, c.address()); err != nil {
				t.Fatal(err)
			}
			got, err := s.load(n, secure, s.rate, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if r := got.result; r.failed() != 0 || r.completed != 50 || len(r.ringing) != 50 || got.each <= 0 {
				t.Errorf("%d of %d calls completed, %d rang, failures %v, %v each", r.completed, r.placed, len(r.ringing), r.failures, got.each)
			}
			s := s
			s.held = 20
			if err := s.weigh(n, secure, &got); err != nil {
				t.Error(err)
			}
			if secure {
				return // OPTIONS over UDP is rightly refused
			}
			if answered, err := askOptions(n, 100, time.Second); err != nil || answered.answered != answered.sent {
				t.Errorf("OPTIONS: %+v, %v", answered, err)
			}
		})
	}
}
