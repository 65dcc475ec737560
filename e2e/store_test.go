package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/phone"
	"carillon/sip/resolve"
	"carillon/sip/transport"
)

// TestAtOnce: whoever holds the 201 of a create can at once read the connector, resolve its host name and call through
// it, and once the delete is answered no longer.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer, _ := answering(t, func() phone.Answer { return phone.Answer{} })
	w.carrier("upstream", answer, "+1212")
	customer := w.phone(phone.Config{Proto: transport.TLS})
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	for range 20 {
		c := w.bareConnector(true)
		var got wire.GetVoiceConnectorResponse
		w.aws(wire.OpGetVoiceConnector, &wire.GetVoiceConnectorRequest{VoiceConnectorID: c.id}, &got)
		if targets, err := w.lookUp(ctx, c.host); err != nil || len(targets) != 1 || targets[0].Proto != resolve.TLS || targets[0].Addr != w.target(transport.TLS) {
			t.Fatalf("%s resolves to %v, %v", c.host, targets, err)
		}
		w.terminate(c, open())
		w.must("number", "import", customerNumber, "--connector", c.id)
		placed, err := customer.Dial(ctx, w.invite(c, transport.TLS, outsideNumber))
		if err != nil {
			t.Fatalf("a call right after the create: %v", err)
		}
		if err := placed.Hangup(ctx); err != nil {
			t.Error(err)
		}
		if err := call(ctx, w.ready, wire.OpDeleteVoiceConnector, &wire.DeleteVoiceConnectorRequest{VoiceConnectorID: c.id}, nil); err == nil {
			t.Fatal("a connector with a number was deleted")
		}
		w.must("number", "import", customerNumber, "--connector", w.spare().id)
		w.aws(wire.OpDeleteVoiceConnector, &wire.DeleteVoiceConnectorRequest{VoiceConnectorID: c.id}, nil)
		if targets, err := w.lookUp(ctx, c.host); err == nil {
			t.Fatalf("%s still resolves to %v", c.host, targets)
		}
	}
}

// spare is a connector that numbers can be moved to.
func (w *world) spare() trunkOf {
	w.t.Helper()
	if w.other == nil {
		c := w.bareConnector(false)
		w.other = &c
	}
	return *w.other
}

// lookUp asks the node's DNS, each time anew.
func (w *world) lookUp(ctx context.Context, host string) ([]resolve.Target, error) {
	w.t.Helper()
	r, err := resolve.New(resolve.Config{Rand: rand.Reader, Servers: []netip.AddrPort{netip.MustParseAddrPort(w.ready.DNS)}, HostsFile: "-"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Resolve(ctx, resolve.Query{Host: host})
}

// TestExport: each call leaves one file in AWS's form under DATA/cdr, at AWS's key, and the CLI shows the same call.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	w.carrier("upstream", answer, "+1212")
	c := w.connector(true)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	placed, err := w.phone(phone.Config{Proto: transport.TLS}).Dial(ctx, w.invite(c, transport.TLS, outsideNumber))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, "the carrier's call", taken)
	eventually(t, "audio", func() bool { return hears(placed, 1004) })
	if err := placed.Hangup(ctx); err != nil {
		t.Error(err)
	}
	r := w.records(c, 1)[0]
	var files []string
	eventually(t, "the exported record", func() bool {
		files = w.exported()
		return len(files) > 0
	})
	if len(files) != 1 || !strings.Contains(files[0], c.id) {
		t.Fatalf("exported %v, want one file of connector %s", files, c.id)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var cdr map[string]any
	if err := json.Unmarshal(text, &cdr); err != nil {
		t.Fatalf("%s holds %s: %v", files[0], text, err)
	}
	for name, want := range map[string]any{
		"AwsAccountId": w.ready.AccountID, "VoiceConnectorId": c.id, "Direction": "Outbound",
		"SourcePhoneNumber": customerNumber, "DestinationPhoneNumber": outsideNumber, "TransactionId": string(r.ID),
	} {
		if cdr[name] != want {
			t.Errorf("%s is %v, want %v", name, cdr[name], want)
		}
	}
	shown := w.must("calls", "show", string(r.ID))
	for _, want := range []string{string(r.ID), r.Customer.Media.Suite, r.Customer.Cipher, "plain sent 0", "MOS 4.", "hung up by       customer"} {
		if !strings.Contains(shown, want) {
			t.Errorf("calls show lacks %q:\n%s", want, shown)
		}
	}
}

// exported returns the files of AWS's form that the node has written.
func (w *world) exported() (files []string) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.dir, "cdr"), func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil: // a file may vanish while it is looked at: it is written under another name first
		case d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !d.IsDir():
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}
