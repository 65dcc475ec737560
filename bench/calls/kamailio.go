package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carillon/bench/party"
)

//go:embed testdata/kamailio.cfg
var kamailioConfig string

// The addresses and ports of the peer.
const (
	kamailioHost  = "127.0.0.11"
	rtpengineHost = "127.0.0.12"
	maskHost      = "127.0.0.13"
	kamailioUDP   = 15060
	kamailioTLS   = 15061
	rtpengineNG   = 12223
	kamailioRealm = "bench.test"
)

// kamailio is Debian's Kamailio with rtpengine in user space.
type kamailio struct {
	dir     string
	started []*exec.Cmd
}

// hasKamailio reports whether both programs are installed.
func hasKamailio() bool {
	for _, program := range []string{"kamailio", "rtpengine"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}

func (k *kamailio) Name() string { return "Kamailio+rtpengine" }

func (k *kamailio) Start(_ bool, callee string) (err error) {
	if k.dir, err = os.MkdirTemp("", "kamailio-calls-"); err != nil {
		return err
	}
	k.started = nil
	cert, key := filepath.Join(k.dir, "cert.pem"), filepath.Join(k.dir, "key.pem")
	certPEM, keyPEM, err := party.SelfSigned(kamailioRealm, kamailioHost)
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, keyPEM, 0o600)); err != nil {
		return err
	}
	threads := strconv.Itoa(runtime.NumCPU())
	ng := fmt.Sprintf("%s:%d", rtpengineHost, rtpengineNG)
	text := strings.NewReplacer("@HOST@", kamailioHost, "@UDP@", strconv.Itoa(kamailioUDP), "@TLS@", strconv.Itoa(kamailioTLS),
		"@CHILDREN@", threads, "@DOMAIN@", kamailioRealm, "@PASSWORD@", party.CallerPassword, "@SECRET@", "benchmark", "@MASK@", maskHost,
		"@CERT@", cert, "@KEY@", key, "@NG@", ng, "@CALLEE@", callee).Replace(kamailioConfig)
	config := filepath.Join(k.dir, "kamailio.cfg")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	if err := k.run("rtpengine", "--config-file=none", "--table=-1", "--interface="+rtpengineHost, "--listen-ng="+ng, "--port-min=20000",
		"--port-max=59999", "--foreground", "--log-stderr", "--log-level=3", "--num-threads="+threads, "--delete-delay=0"); err != nil {
		return err
	}
	if err := k.run("kamailio", "-DD", "-E", "-m", "2048", "-M", "16", "-b", "4194304", "-Y", k.dir, "-f", config); err != nil {
		return err
	}
	return k.awaitAnswer()
}

func (k *kamailio) run(program string, args ...string) error {
	log, err := os.Create(filepath.Join(k.dir, program+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, k.dir
	// Its children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	k.started = append(k.started, cmd)
	return nil
}

// awaitAnswer waits until an OPTIONS is answered.
func (k *kamailio) awaitAnswer() error {
	answered := make(chan struct{}, 1)
	w, err := party.OverUDP(party.CallerHost, k.Address(false), func(party.Message) {
		select {
		case answered <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer w.Close()
	for i := range 100 {
		_ = w.Write(optionsRequest(w, kamailioRealm, i))
		select {
		case <-answered:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("Kamailio does not answer; its log is " + k.dir + "/kamailio.log")
}

func (k *kamailio) Processes() (pids []int) {
	for _, cmd := range k.started {
		pids = append(pids, cmd.Process.Pid)
	}
	return pids
}

func (k *kamailio) Realm() string { return kamailioRealm }

func (k *kamailio) Address(secure bool) string {
	if secure {
		return fmt.Sprintf("%s:%d", kamailioHost, kamailioTLS)
	}
	return fmt.Sprintf("%s:%d", kamailioHost, kamailioUDP)
}

func (k *kamailio) Goroutines() (int, error) { return -1, nil }
func (k *kamailio) HeapGoal() (int64, error) { return -1, nil }

// Lost is none: it keeps no records.
func (k *kamailio) Lost() (int, error) { return 0, nil }

func (k *kamailio) Stop() {
	for _, cmd := range k.started {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
	_ = os.RemoveAll(k.dir)
}
