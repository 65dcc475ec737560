package server

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/config"
)

// TestOperatingPage: with the unit of docs/operating.md a node has the files it wants and the time it takes to drain, and
// the delegation names the name server that the node's DNS names.
func TestOperatingPage(t *testing.T) {
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	number := func(pattern string) int {
		t.Helper()
		m := regexp.MustCompile(`(?m)^` + pattern + `$`).FindSubmatch(page)
		if m == nil {
			t.Fatalf("the page has no line %s", pattern)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var log bytes.Buffer
	conf := config.Default(false)
	conf.MediaIP = []netip.Addr{netip.MustParseAddr("203.0.113.7")}
	n := &Node{config: conf, openFiles: number(`LimitNOFILE=(\d+)`), log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := n.shareFiles(t.Context()); err != nil || log.Len() > 0 {
		t.Errorf("with the unit's LimitNOFILE: %v, %s", err, log.String())
	}
	if got := time.Duration(number(`TimeoutStopSec=(\d+)min`)) * time.Minute; got < conf.Drain+2*closeWait {
		t.Errorf("the unit gives a stop %s; --drain is %s", got, conf.Drain)
	}
	n.ready.Domain = "voice.example.org"
	if got := strings.Count(string(page), n.nameServer()+"."); got != 2 {
		t.Errorf("the delegation has %s %d times, want an NS record and its address", n.nameServer(), got)
	}
}

// TestBackup: a copy of the data folder of a node that is stopped is that node, as docs/operating.md says.
func TestBackup(t *testing.T) {
	first, copied := t.TempDir(), t.TempDir()
	run := func(data string) Ready {
		t.Helper()
		conf := config.Default(true)
		conf.Data = data
		const free = config.Listen("127.0.0.1:0")
		conf.API, conf.SIPUDP, conf.SIPTCP, conf.SIPTLS, conf.DNS, conf.Metrics = free, free, free, free, free, free
		n, err := Start(t.Context(), conf, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		return n.Ready()
	}
	before := run(first)
	if out, err := exec.Command("cp", "-a", first+"/.", copied).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v, %s", err, out)
	}
	after := run(copied)
	if after.AccountID != before.AccountID || after.AccessKeyID != before.AccessKeyID || after.SecretAccessKey != before.SecretAccessKey {
		t.Errorf("the copy has account %s and key %s, want %s and %s with the same secret", after.AccountID, after.AccessKeyID, before.AccountID, before.AccessKeyID)
	}
}
