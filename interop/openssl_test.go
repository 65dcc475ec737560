package interop

import (
	"os/exec"
	"strings"
	"testing"
)

// TestOpenSSLChecksOurCertificate: a client that is no Go program finds the connector's name in the certificate, with
// the CA of the ready file and with no other, in both versions of TLS and with the cipher that AWS names.
func TestOpenSSLChecksOurCertificate(t *testing.T) {
	n := node(t)
	vc := n.connect(t, true)
	for _, c := range []struct {
		name, ca, host string
		more           []string
		says           string // empty: the check fails
	}{
		{"TLS 1.3", n.CAFile, vc.Host, []string{"-tls1_3"}, "TLSv1.3"},
		{"TLS 1.2", n.CAFile, vc.Host, []string{"-tls1_2"}, "ECDHE-RSA-"},
		{"another CA", n.peers.file, vc.Host, nil, ""},
		{"another host", n.CAFile, "sip.example.com", nil, ""},
		{"TLS 1.1", n.CAFile, vc.Host, []string{"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}, ""},
	} {
		args := append([]string{"s_client", "-connect", n.SIP.TLS, "-servername", c.host, "-verify_hostname", c.host,
			"-verify_return_error", "-CAfile", c.ca, "-no-CApath", "-no-CAstore", "-brief"}, c.more...)
		cmd := exec.Command(need(t, "openssl"), args...)
		cmd.Stdin = strings.NewReader("Q\n")
		out, err := cmd.CombinedOutput()
		if c.says == "" {
			if err == nil {
				t.Errorf("%s: the handshake succeeded:\n%s", c.name, out)
			}
			continue
		}
		if err != nil || !strings.Contains(string(out), c.says) || !strings.Contains(string(out), "Verification: OK") {
			t.Errorf("%s: %v, want %q:\n%s", c.name, err, c.says, out)
		}
	}
}
