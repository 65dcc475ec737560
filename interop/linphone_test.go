package interop

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What Debian's linphone-cli 5.1.65 wants, and how the test lives with it: it takes the user of its identity for the
// digest user, so the credential is the number; it uses IPv6 wherever the machine has any, which the page's line turns off;
// it prefers Opus, which the lab does not speak, and falls back to PCMU by itself.

// linphone is one run of linphonec, which reads commands and says what happens.
type linphone struct {
	t    *testing.T
	in   io.WriteCloser
	out  *syncBuffer
	done chan error
	// recording is the file of what it hears.
	recording string
}

// startLinphone runs a phone of the connector over TLS, set up as docs/phones.md says, with SRTP or without.
func startLinphone(t *testing.T, n *process, vc connector, encryption string) *linphone {
	t.Helper()
	program := need(t, "/usr/bin/linphonec")
	dir := t.TempDir()
	// The page's settings, with what a phone needs beside a node on the same machine: its own ports, and the node's address,
	// which the certificate's name is not, in place of what DNS says.
	config := strings.NewReplacer(
		"[sip]\n", fmt.Sprintf("[sip]\nsip_port=0\nsip_tcp_port=0\nsip_tls_port=%d\nverify_server_cn=0\n", freePair(t)),
		"<sip:HOST;", "<sip:"+n.SIP.TLS+";", "root_ca=ca.pem", "root_ca="+n.CAFile,
		"[proxy_0]\n", fmt.Sprintf("[rtp]\naudio_rtp_port=%d\n[proxy_0]\n", mediaPort(t)),
	).Replace(phonesBlock(t, "linphone", "[sip]"))
	if encryption == "none" {
		config = strings.NewReplacer("media_encryption=srtp\n", "media_encryption=none\n", "media_encryption_mandatory=1\n", "media_encryption_mandatory=0\n").Replace(config)
	}
	config = onConnector(config, vc) + "\n"
	file := filepath.Join(dir, "rc")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".local/share/linphone"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "TERM=dumb")
	p := &linphone{t: t, out: &syncBuffer{}, done: make(chan error, 1), recording: filepath.Join(dir, "heard.wav")}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	p.wait("linphonec>")
	p.say(phonesBlock(t, "linphone", "ipv6 "))
	p.say("soundcard use files")
	p.wait("Using wav files")
	tone := filepath.Join(dir, "tone.wav")
	if err := writeTone(tone, 1000, 3); err != nil {
		t.Fatal(err)
	}
	p.say("play " + tone)
	p.say("record " + p.recording)
	return p
}

func (p *linphone) say(command string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		p.t.Fatalf("linphone: %v\n%s", err, p.out)
	}
}

// wait waits until linphone has said something.
func (p *linphone) wait(what string) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(p.out.String(), what); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-p.done:
			p.t.Fatalf("linphone ended: %v\n%s", err, p.out)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("linphone never said %q:\n%s", what, p.out)
		}
	}
}

// hears waits until linphone has heard that much more: it writes what it decodes as it goes.
func (p *linphone) hears(more time.Duration) {
	p.t.Helper()
	before := p.recorded()
	for deadline := time.Now().Add(20 * time.Second); p.recorded() < before+samplesSize(more); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("linphone recorded %d octets, then %d:\n%s", before, p.recorded(), p.out)
		}
	}
}

func (p *linphone) recorded() int64 {
	p.t.Helper()
	info, err := os.Stat(p.recording)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		p.t.Fatalf("linphone: %v\n%s", err, p.out)
	}
	return info.Size()
}

// TestLinphone: an encrypted call to the lab's echo, and the same without SRTP, which is refused.
func TestLinphone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		encryption, says string
		status           int
		reason           string
	}{
		{"srtp", "Media streams established", 200, "hangup"},
		{"none", "error", 488, "media_not_encrypted"},
	} {
		t.Run(c.encryption, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, true)
			n.call(t, "POST", "/voice-connectors/"+vc.ID+"/termination/credentials?operation=put",
				object{"Credentials": []object{{"Username": vc.number, "Password": phonePassword}}}, nil)
			p := startLinphone(t, n, vc, c.encryption)
			p.say("call sip:" + labEcho + "@" + vc.Host)
			p.wait(c.says)
			if c.status == 200 {
				for _, change := range []string{"pause", "resume"} {
					p.say(change)
					p.wait(map[string]string{"pause": "Call 1 with sip:" + labEcho + "@" + vc.Host + " is now paused", "resume": "Resuming call 1"}[change])
				}
				p.hears(heard) // after hold, which is what the call is for
				p.say("terminate")
			}
			r := n.records(t, vc, 1)[0]
			if r.Status != c.status || r.Reason != c.reason || r.From != vc.number || r.Customer.Transport != "tls" || r.Customer.TLSVersion == "" {
				t.Errorf("record %+v\n%s", r, p.out)
			}
			if m := r.Customer.Media; c.status == 200 && (m.Profile != "RTP/SAVP" || m.Suite == "" || m.Protected < 40 || m.Unprotected == 0 || m.PlainSent != 0 || m.AuthFailures != 0) {
				t.Errorf("media %+v", m)
			}
		})
	}
}
