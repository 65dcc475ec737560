package e2e_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/phone"
	"carillon/sip/transport"
)

// open is a termination that lets this machine call US numbers.
func open() *wire.Termination {
	return &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{"127.0.0.0/8"}, CPSLimit: new(int32(100))}
}

// TestRefusals: each refusal has its status, and says in a Warning and in its record which rule fired, but to those only
// whose source or credentials are proven.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handle, _ := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	w.carrier("upstream", handle, "+1212", "+44")
	far := map[string]func(*phone.Incoming){
		"486": func(in *phone.Incoming) { _ = in.Reject(486, "") },
		"603": func(in *phone.Incoming) { _ = in.Reject(603, "") },
		"503": func(in *phone.Incoming) { _ = in.Reject(503, "") },
		"401": func(in *phone.Incoming) { _ = in.Reject(401, "") },
	}
	w.carrier("moody", func(in *phone.Incoming) { far[in.User[len(in.User)-3:]](in) }, "+1606")
	for _, tt := range []struct {
		name      string
		encrypted bool
		proto     transport.Proto
		to        string
		setup     func(*world, trunkOf)
		invite    func(*phone.Invite)
		status    int
		warning   string // begins the Warning header; empty for none
		sentence  string // is part of the Warning
		reason    string // of the record; empty for no record
	}{
		{name: "signalling_not_encrypted", encrypted: true, proto: transport.TCP, status: 403, warning: "399", sentence: "TLS, port", reason: "signalling_not_encrypted"},
		{name: "signalling_not_encrypted over udp", encrypted: true, proto: transport.UDP, status: 403, warning: "399", sentence: "TLS, port", reason: "signalling_not_encrypted"},
		{name: "media_not_encrypted", encrypted: true, proto: transport.TLS, invite: func(i *phone.Invite) { i.Suites = nil }, status: 488, warning: "302", sentence: "RTP/SAVP", reason: "media_not_encrypted"},
		{name: "key_in_cleartext", proto: transport.TCP, invite: func(i *phone.Invite) { i.Suites = phone.DefaultSuites() }, status: 488, warning: "399", sentence: "key", reason: "key_in_cleartext"},
		{name: "number_malformed", proto: transport.TCP, to: "hello", status: 484, warning: "399", sentence: "E.164", reason: "number_malformed"},
		{name: "country_not_allowed", proto: transport.TCP, to: "+442071838750", status: 403, warning: "399", sentence: "CallingRegions", reason: "country_not_allowed"},
		{name: "caller_id_not_owned", proto: transport.TCP, invite: func(i *phone.Invite) { i.From = strings.Replace(i.From, customerNumber, "+12065559999", 1) }, status: 403, warning: "399", sentence: "+12065559999", reason: "caller_id_not_owned"},
		{name: "no_route", proto: transport.TCP, to: "+3315551234", setup: func(w *world, c trunkOf) {
			term := open()
			term.CallingRegions = []string{"FR"}
			w.terminate(c, term)
		}, status: 404, warning: "399", sentence: "carrier", reason: "no_route"},
		{name: "termination_disabled", proto: transport.TCP, setup: func(w *world, c trunkOf) {
			term := open()
			term.Disabled = new(true)
			w.terminate(c, term)
		}, status: 403, warning: "399", sentence: "Termination", reason: "termination_disabled"},
		{name: "source_not_allowed", proto: transport.TCP, setup: func(w *world, c trunkOf) {
			term := open()
			term.CIDRAllowedList = []string{"192.0.2.0/24"}
			w.terminate(c, term)
		}, status: 403},
		{name: "connector_unknown", proto: transport.TCP, invite: func(i *phone.Invite) {
			i.To = "sip:+12125550142@nobody.voiceconnector.carillon.test"
		}, status: 404},
		{name: "credentials_required", proto: transport.TCP, setup: func(w *world, c trunkOf) { w.credentials(c, "alice", "right") }, status: 407},
		{name: "credentials_wrong", proto: transport.TCP, setup: func(w *world, c trunkOf) { w.credentials(c, "alice", "right") },
			invite: func(i *phone.Invite) { i.User, i.Password = "alice", "wrong" }, status: 407, reason: "credentials_wrong"},
		{name: "busy", proto: transport.TCP, to: "+16065550486", status: 486, warning: "399", sentence: "486 Busy Here", reason: "remote_refused"},
		{name: "decline", proto: transport.TCP, to: "+16065550603", status: 603, warning: "399", sentence: "603 Decline", reason: "remote_refused"},
		{name: "only 503 becomes 500", proto: transport.TCP, to: "+16065550503", status: 500, warning: "399", reason: "all_targets_failed"},
		{name: "a carrier's challenge is not passed on", proto: transport.TCP, to: "+16065550401", status: 500, warning: "399", reason: "all_targets_failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(tt.encrypted)
			if tt.setup != nil {
				tt.setup(w, c)
			}
			to := tt.to
			if to == "" {
				to = outsideNumber
			}
			inv := w.invite(c, tt.proto, to)
			if tt.invite != nil {
				tt.invite(&inv)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			placed, err := w.phone(phone.Config{Proto: tt.proto}).Dial(ctx, inv)
			var refused *phone.Failure
			if !errors.As(err, &refused) {
				t.Fatalf("answered %t, %v, want a refusal", placed != nil, err)
			}
			if refused.Status != tt.status {
				t.Errorf("status %d %s, want %d", refused.Status, refused.Phrase, tt.status)
			}
			if tt.warning == "" && refused.Warning != "" || !strings.HasPrefix(refused.Warning, tt.warning) || !strings.Contains(refused.Warning, tt.sentence) {
				t.Errorf("Warning %q, want %s … %s", refused.Warning, tt.warning, tt.sentence)
			}
			if tt.reason == "" {
				if got := w.must("calls", "list", "--connector", c.id, "--json"); !strings.Contains(got, `"calls": []`) {
					t.Errorf("a stranger left a record: %s", got)
				}
				return
			}
			r := w.records(c, 1)[0]
			if r.Reason != tt.reason || r.Status != tt.status || r.Sentence == "" {
				t.Errorf("record: %d %s %q, want %d %s", r.Status, r.Reason, r.Sentence, tt.status, tt.reason)
			}
			if tt.sentence != "" && tt.warning != "" && !strings.Contains(refused.Warning, r.Sentence) {
				t.Errorf("the record says %q, the Warning %q", r.Sentence, refused.Warning)
			}
		})
	}
}
