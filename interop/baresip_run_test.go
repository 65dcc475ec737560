package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What Debian's baresip 1.0.0 cannot do, and how the tests live with it:
//   - It gives up when a challenge offers SHA-256 at all, so its connectors offer MD5 alone (digest=md5).
//   - aufile only plays files and ausine knows only 48 kHz stereo, so tones come from a file and what is heard is
//     written by sndfile.
//   - mediaenc=srtp offers RTP/AVP with a=crypto, which an encrypted connector refuses; srtp-mand offers RTP/SAVP.
//   - Its SRTP offers AES_CM_128_HMAC_SHA1_80 only, but takes AEAD_AES_128_GCM when that is offered.
//   - It sends RTP from whatever address the system picks, so all run on 127.0.0.1: the node takes RTP only from the
//     address in the description.
//   - It loads sip_cafile and checks no certificate with it: TestOpenSSLChecksOurCertificate does that.
//   - It has no late offer and does not start a session timer.

// baresipConfig says how one baresip is set up.
type baresipConfig struct {
	// account is the address and the parameters of its one account.
	account string
	// tone is what it plays, in Hz.
	tone float64
	// stranger gives it a certificate of a CA that nobody trusts.
	stranger bool
	// trace logs all SIP messages.
	trace bool
}

// baresip is a running one.
type baresip struct {
	t    *testing.T
	dir  string
	port int // SIP over UDP and TCP; TLS is one above
	log  *syncBuffer
	cmd  *exec.Cmd
	conn net.Conn

	mu     sync.Mutex
	events []event
	came   chan struct{}
}

// event is one line of ctrl_tcp.
type event struct {
	Type  string `json:"type"`
	Param string `json:"param"`
	Data  string `json:"data"`
	OK    bool   `json:"ok"`
}

const baresipSettings = `poll_method epoll
sip_listen 127.0.0.1:%[1]d
%[2]s
call_max_calls 4
audio_source aufile,%[3]s/tone.wav
audio_player aubridge,play
audio_alert aubridge,alert
rtp_ports 12000-19999
net_interface 127.0.0.1
dns_server %[4]s
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
snd_path %[3]s
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:%[5]d
`

func startBaresip(t *testing.T, c baresipConfig) *baresip {
	t.Helper()
	n := node(t)
	program := need(t, "/usr/bin/baresip")
	b := &baresip{t: t, dir: t.TempDir(), log: &syncBuffer{}, came: make(chan struct{}, 1)}
	b.port = freePair(t)
	control := freePair(t)
	issuer := n.peers
	if c.stranger {
		var err error
		if issuer, err = newAuthority(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	if err := issuer.issue(filepath.Join(b.dir, "own.pem"), net.IPv4(127, 0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	security := "sip_cafile " + n.CAFile + "\nsip_certificate " + filepath.Join(b.dir, "own.pem")
	b.write("config", fmt.Sprintf(baresipSettings, b.port, security, b.dir, n.DNS, control))
	b.write("accounts", c.account+";regint=0;audio_codecs=pcmu\n")
	b.write("contacts", "")
	if err := writeTone(filepath.Join(b.dir, "tone.wav"), c.tone, 20); err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", b.dir}
	if c.trace {
		args = append(args, "-s")
	}
	b.cmd = exec.Command(program, args...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	b.connect(control)
	return b
}

func (b *baresip) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// connect waits until baresip takes commands and reads its events from then on.
func (b *baresip) connect(port int) {
	b.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			b.conn = conn
			break
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("baresip takes no commands: %v\n%s", err, b.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	go b.read(bufio.NewReader(b.conn))
}

// read takes apart netstrings: the length in decimal, a colon, that many octets, a comma.
func (b *baresip) read(r *bufio.Reader) {
	for {
		length, err := r.ReadString(':')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
		if err != nil {
			return
		}
		text := make([]byte, size+1)
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		var e event
		if err := json.Unmarshal(text[:size], &e); err != nil {
			continue
		}
		b.mu.Lock()
		b.events = append(b.events, e)
		b.mu.Unlock()
		select {
		case b.came <- struct{}{}:
		default:
		}
	}
}

// command sends a command of the menu, for example dial.
func (b *baresip) command(name, params string) {
	b.t.Helper()
	text, err := json.Marshal(map[string]string{"command": name, "params": params})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.conn, "%d:%s,", len(text), text); err != nil {
		b.t.Fatal(err)
	}
}

// wait waits for an event of one of the kinds and returns the first.
func (b *baresip) wait(kinds ...string) event {
	b.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		b.mu.Lock()
		i := slices.IndexFunc(b.events, func(e event) bool { return slices.Contains(kinds, e.Type) })
		var e event
		if i >= 0 {
			e = b.events[i]
		}
		b.mu.Unlock()
		if i >= 0 {
			return e
		}
		select {
		case <-b.came:
		case <-timeout:
			b.t.Fatalf("baresip: none of %v came; events %+v; log:\n%s", kinds, b.events, b.log.tail(6000))
		}
	}
}

// forget forgets the events so far.
func (b *baresip) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = nil
}

// stop ends baresip, which completes the files of what it heard.
func (b *baresip) stop() {
	if b.cmd.ProcessState != nil {
		return
	}
	if b.conn != nil {
		fmt.Fprint(b.conn, `18:{"command":"quit"},`)
	}
	ended := time.AfterFunc(5*time.Second, func() { b.cmd.Process.Kill() })
	b.cmd.Wait()
	ended.Stop()
	if b.conn != nil {
		b.conn.Close()
	}
}

// hears waits until baresip has heard that much: it writes what it decodes at once.
func (b *baresip) hears(atLeast time.Duration) {
	b.t.Helper()
	want := headerSize + samplesSize(atLeast)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var size int64
		for _, file := range b.recordings() {
			if info, err := os.Stat(file); err == nil {
				size += info.Size()
			}
		}
		if size >= want {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("baresip heard %d octets in 20 s, want %d; log:\n%s", size, want, b.log.tail(6000))
		}
	}
}

// recordings are the files of what baresip heard, one for each call.
func (b *baresip) recordings() []string {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if err != nil {
		b.t.Fatal(err)
	}
	return files
}

// heard ends baresip and judges what it heard: the other's tone for about as long as the call was, and not its own.
func (b *baresip) heard(other, own float64, atLeast time.Duration) {
	b.t.Helper()
	b.stop()
	files := b.recordings()
	if len(files) != 1 {
		b.t.Fatalf("%d recordings, want 1; log:\n%s", len(files), b.log.tail(6000))
	}
	samples, err := readWAV(files[0])
	if err != nil {
		b.t.Fatal(err)
	}
	if got := time.Duration(len(samples)) * time.Second / sampleRate; got < atLeast {
		b.t.Errorf("heard %v, want at least %v", got, atLeast)
	}
	if got := share(samples, other); got < 0.9 {
		b.t.Errorf("the share of %v Hz in what was heard is %.3f, want almost all", other, got)
	}
	if got := share(samples, own); got > 0.05 {
		b.t.Errorf("the share of %v Hz, its own tone, is %.3f", own, got)
	}
}

// The ports that peers listen on lie above those that the kernel gives to whoever asks for any: nobody takes one between the
// test's choice and its peer's start.
const firstPort, lastPort = 61000, 65535

var pairs atomic.Int64

// freePair returns a port whose successor is free too, for TCP and UDP, and which no other test of this run is given.
func freePair(t *testing.T) int {
	t.Helper()
	for range (lastPort - firstPort) / 2 {
		port := firstPort + 2*int(pairs.Add(1)%((lastPort-firstPort)/2))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		next, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1)))
		if err == nil {
			next.Close()
		}
		u, errUDP := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errUDP == nil {
			u.Close()
		}
		l.Close()
		if err == nil && errUDP == nil {
			return port
		}
	}
	t.Fatal("no two free ports in a row")
	return 0
}
