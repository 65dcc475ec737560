package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "carillon/api/v1"
	"carillon/phone"
	"carillon/sip/transport"
)

// TestFewOpenFiles: calls and connections that are as many as the process may have files leave some to the API, the metrics
// and the records of the calls.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	const limit = 700
	p := launchIn(t, []string{withFiles + "=" + strconv.Itoa(limit)}, t.TempDir(), filepath.Join(t.TempDir(), "ready.json")).await()
	eventually(t, "the log to say that there are fewer files than configured", func() bool {
		return strings.Contains(p.out.String(), "fewer files open than its configuration allows for")
	})
	answer, _ := answering(t, func() phone.Answer { return phone.Answer{} })
	p.carrier("upstream", answer, "+1212")
	c := p.connector(false)
	// Each step has its own time: together the calls may take longer than one may.
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		t.Cleanup(cancel)
		return ctx
	}

	caller := p.phone(phone.Config{})
	var up []*phone.Call
	for {
		placed, err := caller.Dial(soon(), p.invite(c, transport.UDP, outsideNumber))
		var refused *phone.Failure
		if errors.As(err, &refused) {
			if refused.Status != 503 {
				t.Fatalf("call %d is answered %d, want 503", len(up)+1, refused.Status)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		up = append(up, placed)
	}
	if len(up) < 10 {
		t.Fatalf("%d calls are up", len(up))
	}
	for range limit {
		for _, at := range []string{p.ready.SIP.TCP, strings.TrimPrefix(p.ready.API, "http://")} {
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
		}
	}
	if open := p.metric("process_open_fds"); open >= limit {
		t.Errorf("%v files are open of %d", open, limit)
	}
	p.connectors() // fails if the API does not answer
	for _, placed := range up {
		if err := placed.Hangup(soon()); err != nil {
			t.Error(err)
		}
	}
	records := p.records(c, len(up)+1)
	if failed := p.metric("carillon_records_failed_total"); failed != 0 {
		t.Errorf("%v records failed", failed)
	}
	if !slices.ContainsFunc(records, func(r v1.Call) bool { return r.Reason == "node_full" }) {
		t.Error("the call beyond them is not recorded as node_full")
	}
}

// metric returns the value of a metric without labels.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	answer, err := http.Get(w.ready.Metrics)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return v
		}
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	w.t.Fatalf("there is no metric %s", name)
	return 0
}
