package e2e_test

import (
	"context"
	"testing"

	"carillon/api/wire"
	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// group puts connectors into a group, the first with priority 1, which takes the calls of the customer's number.
func (w *world) group(members ...trunkOf) {
	w.t.Helper()
	var items []wire.VoiceConnectorItem
	for i, c := range members {
		items = append(items, wire.VoiceConnectorItem{VoiceConnectorID: new(c.id), Priority: new(int32(i + 1))})
	}
	var made wire.CreateVoiceConnectorGroupResponse
	w.aws(wire.OpCreateVoiceConnectorGroup, &wire.CreateVoiceConnectorGroupRequest{Name: new("e2e"), VoiceConnectorItems: items}, &made)
	w.must("number", "import", customerNumber, "--account", w.ready.AccountID)
	var answer wire.AssociatePhoneNumbersWithVoiceConnectorGroupResponse
	w.aws(wire.OpAssociatePhoneNumbersWithVoiceConnectorGroup, &wire.AssociatePhoneNumbersWithVoiceConnectorGroupRequest{
		VoiceConnectorGroupID: *made.VoiceConnectorGroup.VoiceConnectorGroupID, E164PhoneNumbers: []wire.Sensitive{customerNumber}, ForceAssociate: new(true),
	}, &answer)
	if len(answer.PhoneNumberErrors) != 0 {
		w.t.Fatalf("associate the number with the group: %+v", answer.PhoneNumberErrors)
	}
}

// TestGroups: of a group with an encrypted and a plain connector, each takes the other's calls over, under its own rules:
// TLS and SRTP towards the one, plain RTP towards the other, and the record of who took the call says which.
func TestGroups(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	trust := ca.file()
	w := newWorld(t, func(c *config.Config) { c.TLSTrust = trust })
	for _, encrypted := range []bool{false, true} { // the connector that takes the call
		t.Run(map[bool]string{false: "plain after encrypted", true: "encrypted after plain"}[encrypted], func(t *testing.T) {
			w := w.in(t)
			refusing, refuser := w.member(ca, !encrypted)
			refuser.Handle(func(in *phone.Incoming) {
				if in.Secure == encrypted || in.Header("X-VoiceConnector-ID") != refusing.id {
					t.Errorf("the first was offered SAVP %t, as connector %s", in.Secure, in.Header("X-VoiceConnector-ID"))
				}
				_ = in.Reject(503, "")
			})
			taking, taker := w.member(ca, encrypted)
			asked := make(chan *phone.Incoming, 1)
			answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450), Secure: encrypted} })
			taker.Handle(func(in *phone.Incoming) { asked <- in; answer(in) })
			w.group(refusing, taking)

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			caller, err := w.ring(ctx, customerNumber)
			if err != nil {
				t.Fatalf("call from the carrier: %v", err)
			}
			in, callee := receive(t, "the INVITE", asked), receive(t, "the answer", taken)
			if in.Secure != encrypted || (in.TLS != nil) != encrypted || in.Header("X-VoiceConnector-ID") != taking.id {
				t.Errorf("the INVITE came over %s, SAVP %t, as connector %s", in.Transport, in.Secure, in.Header("X-VoiceConnector-ID"))
			}
			eventually(t, "audio at the customer", func() bool { return hears(callee, 1004) })
			eventually(t, "audio at the carrier", func() bool { return hears(caller, 450) })
			if st := callee.Stats(); (st.Suite != "") != encrypted || st.AuthFailures != 0 {
				t.Errorf("the customer's media: %s %q, %d not authentic", st.Profile, st.Suite, st.AuthFailures)
			}
			if err := caller.Hangup(ctx); err != nil {
				t.Error(err)
			}
			receive(t, "the customer's BYE", callee.Done())
			r := w.records(taking, 1)[0]
			if r.Status != 200 || r.RequireEncryption != encrypted || len(r.Attempts) != 2 || r.Attempts[0].Status != 503 {
				t.Errorf("record: %+v", r)
			}
			if m := r.Customer.Media; (m.Suite != "") != encrypted || (m.PlainSent == 0) != encrypted || encrypted && (m.Protected == 0 || r.Customer.TLSVersion == "") {
				t.Errorf("the customer's leg: %+v", r.Customer)
			}
			w.records(refusing, 0)
		})
	}
}

// member makes a connector and the phone that its origination leads to.
func (w *world) member(ca *authority, encrypted bool) (trunkOf, *phone.Phone) {
	w.t.Helper()
	c := w.bareConnector(encrypted)
	config := phone.Config{Proto: transport.UDP}
	if encrypted {
		config = phone.Config{Proto: transport.TLS, Certificate: ca.issue("127.0.0.1")}
	}
	p := w.phone(config)
	w.originate(c, route(p.Addr(), 1, "UDP"))
	return c, p
}
