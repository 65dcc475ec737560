package server

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

// TestFirstEnd: the metric of the certificates' end is that of the one that ends first, and without any the own CA's.
func TestFirstEnd(t *testing.T) {
	n := startTrial(t)
	if got, want := n.identity.firstEnd(), n.identity.ca.NotAfter; !got.Equal(want) {
		t.Errorf("without a certificate: got %v, want the CA's %v", got, want)
	}
	soon := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)
	given := []*tls.Certificate{
		{Leaf: &x509.Certificate{NotAfter: soon.Add(time.Hour)}}, {Leaf: &x509.Certificate{NotAfter: soon}}, {Leaf: &x509.Certificate{NotAfter: soon.Add(time.Minute)}},
	}
	n.identity.given.Store(&given)
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got float64
	for _, f := range families {
		if f.GetName() == "carillon_tls_certificate_expiry_seconds" {
			got = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	if got != float64(soon.Unix()) {
		t.Errorf("of three certificates: got %.0f, want %d", got, soon.Unix())
	}
}
