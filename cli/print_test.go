package cli

import (
	"bytes"
	"strings"
	"testing"

	"carillon/call"
	"carillon/config"
	"carillon/server"
)

// TestTableHasNoHoles: an empty cell is a dash, so that columns stay where they are; a row may end early.
func TestTableHasNoHoles(t *testing.T) {
	var b bytes.Buffer
	rows := table{}
	rows.add("id", "name", "user")
	rows.add("a", "", "x")
	rows.add("b", "longer")
	rows.add("", "c", "")
	if err := rows.print(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "ID  NAME    USER\na   -       x\nb   longer\n-   c       -\n"; got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

// TestProtectionReads: both directions of an encrypted leg are said to be encrypted.
func TestProtectionReads(t *testing.T) {
	leg := call.LegRecord{Transport: "tls", Media: call.LegReport{Profile: "RTP/SAVP", Protected: 149, Unprotected: 151, PlainDropped: 2}}
	rows := legRows("customer leg", leg, "")
	want := "sent encrypted 149, received and verified 151, wrong tags 0, replays 0, plain dropped 2, plain sent 0"
	if got := rows[len(rows)-1][1]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTransferReads: of a call that a transfer made, whose leg is in the customer's place and what became of what.
func TestTransferReads(t *testing.T) {
	var b bytes.Buffer
	leg := call.LegRecord{Transport: "udp", Media: call.LegReport{Profile: "RTP/AVP"}}
	if err := printCall(&session{Streams: Streams{Out: &b}}, call.Record{ID: "two", TransferOf: "one", TransferredTo: "three", Remaining: &leg}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\ntransfer of      one\n", "\ntransferred to   three\n", "\nremaining leg    udp"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "customer leg") {
		t.Errorf("a customer is shown in\n%s", b.String())
	}
}

// TestWelcomeTrustsTheAPI: the AWS CLI is told of the CA where the API is behind TLS, and only there.
func TestWelcomeTrustsTheAPI(t *testing.T) {
	for api, want := range map[string]bool{"https://127.0.0.1:8080": true, "http://127.0.0.1:8080": false} {
		for _, file := range []string{"", "ready.json"} {
			var b bytes.Buffer
			welcome(&session{Streams: Streams{Out: &b}}, config.Config{ReadyFile: file}, server.Ready{API: api, CAFile: "/tmp/ca.pem"})
			if got := strings.Contains(b.String(), "export AWS_CA_BUNDLE=/tmp/ca.pem\n"); got != want {
				t.Errorf("%s, ready file %q: the bundle is named %t, want %t", api, file, got, want)
			}
		}
	}
}
