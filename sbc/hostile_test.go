package sbc

import (
	"bytes"
	"strings"
	"testing"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// answerRaw answers the INVITE that rang with octets that our own Builder would not write.
func (a *agent) answerRaw(code int, sdp string, change func([]byte) []byte, headers ...string) {
	a.r.t.Helper()
	var b sip.Builder
	sip.AppendResponse(&b, a.invite, code, sip.ReasonPhrase(code), a.tag)
	b.Header("Contact", a.contact)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		b.Header(name, strings.TrimSpace(value))
	}
	b.Body("application/sdp", []byte(sdp))
	if b.Err() != nil {
		a.r.t.Fatalf("write a %d: %v", code, b.Err())
	}
	a.send(change(bytes.Clone(b.Bytes())))
}

// A quoted NUL is a valid header that cannot be written on. It must not keep the answer from the caller, who would ring
// for ever in a call that nothing ends.
func TestAnswerWithUnwritableHeader(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		nul := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("NUL"), []byte{'\\', 0}) }
		target.answerRaw(183, sdpPlain, nul, `Subject: "NUL"`)
		caller.want("183")
		target.answerRaw(200, sdpPlain, nul, `Subject: "NUL"`, "User-to-User: 00")
		target.want("ACK")
		ok := caller.answered()
		if ok.Get(sip.HdrSubject) != nil || string(ok.Get(sip.HdrUserToUser)) != "00" {
			t.Errorf("the answer is\n%q", ok.Bytes())
		}
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// An answer in which the target has written another From-tag or Call-ID than it was sent makes no dialog: what is kept
// under our tag would never be found again.
func TestAnswerOfAnotherDialog(t *testing.T) {
	for name, change := range map[string]func(*agent) (old, new string){
		"From-tag": func(a *agent) (string, string) {
			return ";tag=" + string(a.invite.From().Tag()), ";tag=" + strings.Repeat("x", 40)
		},
		"Call-ID": func(a *agent) (string, string) { return string(a.invite.CallID()), strings.Repeat("y", 40) },
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) { w.oneTarget(); w.connector.Settings.Transfers = trunk.RelayTransfers }, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				target := tel.ring()
				old, other := change(target)
				target.answerRaw(200, sdpPlain, func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(other), 1) })
				caller.refused("502")
			})
		})
	}
}
