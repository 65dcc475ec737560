package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/call"
	"carillon/phone"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// create makes the connector that the rest is about.
func (d *demo) create(ctx context.Context) (string, error) {
	in := &wire.CreateVoiceConnectorRequest{Name: new("front-desk"), RequireEncryption: new(true)}
	var out wire.CreateVoiceConnectorResponse
	if err := d.api.aws(ctx, wire.OpCreateVoiceConnector, in, &out); err != nil {
		return "", err
	}
	var err error
	if d.via, err = foundOf(out.VoiceConnector); err != nil {
		return "", err
	}
	if out.VoiceConnector.RequireEncryption == nil || !*out.VoiceConnector.RequireEncryption {
		return "", fmt.Errorf("the answer does not say RequireEncryption")
	}
	return d.via.host, nil
}

// resolve asks the node's DNS as a phone would.
func (d *demo) resolve(ctx context.Context) (string, error) {
	dns, err := netip.ParseAddrPort(d.node.Ready().DNS)
	if err != nil {
		return "", err
	}
	r, err := resolve.New(resolve.Config{Clock: d.s.clock, Rand: rand.Reader, Servers: []netip.AddrPort{dns}, HostsFile: "-"})
	if err != nil {
		return "", err
	}
	targets, err := r.Resolve(ctx, resolve.Query{Host: d.via.host})
	if err != nil {
		return "", err
	}
	var found []string
	for _, t := range targets {
		if t.Proto != resolve.TLS {
			return "", fmt.Errorf("DNS leads to %s over %s", t.Addr, t.Proto)
		}
		found = append(found, t.Addr.String())
	}
	if list := strings.Join(found, ", "); list != d.node.Ready().SIP.TLS {
		return "", fmt.Errorf("DNS leads to %q, the node listens on %s", list, d.node.Ready().SIP.TLS)
	}
	return "NAPTR and SRV lead to " + found[0] + " over TLS", nil
}

// configure lets the customer call out and be called.
func (d *demo) configure(ctx context.Context) (string, error) {
	if err := d.api.putTermination(ctx, d.via.id, "127.0.0.0/8"); err != nil {
		return "", err
	}
	credentials := &wire.PutVoiceConnectorTerminationCredentialsRequest{VoiceConnectorID: d.via.id, Credentials: []wire.Credential{
		{Username: new(wire.Sensitive(demoUser)), Password: new(wire.Sensitive(demoPassword))},
	}}
	if err := d.api.aws(ctx, wire.OpPutVoiceConnectorTerminationCredentials, credentials, nil); err != nil {
		return "", err
	}
	at := d.phone.Addr()
	origination := &wire.PutVoiceConnectorOriginationRequest{VoiceConnectorID: d.via.id, Origination: &wire.Origination{
		Routes: []wire.OriginationRoute{{
			Host: new(at.Addr().String()), Port: new(int32(at.Port())), Protocol: new(wire.OriginationRouteProtocol("TCP")),
			Priority: new(int32(1)), Weight: new(int32(1)),
		}},
	}}
	if err := d.api.aws(ctx, wire.OpPutVoiceConnectorOrigination, origination, nil); err != nil {
		return "", err
	}
	if err := d.api.importNumber(ctx, demoNumber, d.via.id); err != nil {
		return "", err
	}
	roots, err := rootsOf(d.node.Ready().CAFile)
	if err != nil {
		return "", err
	}
	d.plan = callPlan{
		Host: d.via.host, Roots: roots, From: demoNumber, To: labNumber("echo"), Lab: "echo", Clock: d.s.clock,
		User: demoUser, Password: demoPassword, Talk: demoTalk,
	}
	return fmt.Sprintf("calls to US numbers from 127.0.0.0/8 as %s; calls to %s go to %s", demoUser, demoNumber, at), nil
}

// over returns the plan for a transport.
func (d *demo) over(p transport.Proto, address string, secure bool) (callPlan, error) {
	plan := d.plan
	plan.Proto, plan.Secure = p, secure
	var err error
	plan.Target, err = netip.ParseAddrPort(address)
	return plan, err
}

// encryptedCall calls the echo line and checks that the audio came back.
func (d *demo) encryptedCall(ctx context.Context) (string, error) {
	plan, err := d.over(transport.TLS, d.node.Ready().SIP.TLS, true)
	if err != nil {
		return "", err
	}
	o, err := placeCall(ctx, plan)
	if err != nil {
		return "", err
	}
	for _, text := range []string{"status=200", "transport=tls", "srtp=any", "audio=echo", "packets>=25"} {
		a, err := parseAssertion(text)
		if err != nil {
			return "", err
		}
		if r := a.check(o); !r.Held {
			return "", fmt.Errorf("%s: it was %s. %s", r.Text, r.Got, o.Verdict)
		}
	}
	if o.AuthFailures != 0 || o.Peer != transport.PeerVerified.String() {
		return "", fmt.Errorf("%d packets that were not authentic, TLS peer %s", o.AuthFailures, o.Peer)
	}
	d.suites[call.Outbound.String()] = o.Suite
	return fmt.Sprintf("%s %s, %s; our own tone came back in %d packets", o.TLSVersion, o.Cipher, o.Suite, o.PacketsReceived), nil
}

// plainSignalling tries TCP. UDP would be refused alike.
func (d *demo) plainSignalling(ctx context.Context) (string, error) {
	const forbidden = 403
	return d.refused(ctx, transport.TCP, d.node.Ready().SIP.TCP, forbidden)
}

// plainMedia uses TLS but offers RTP/AVP.
func (d *demo) plainMedia(ctx context.Context) (string, error) {
	const notAcceptableHere = 488
	return d.refused(ctx, transport.TLS, d.node.Ready().SIP.TLS, notAcceptableHere)
}

func (d *demo) refused(ctx context.Context, p transport.Proto, address string, status int) (string, error) {
	plan, err := d.over(p, address, false)
	if err != nil {
		return "", err
	}
	o, err := placeCall(ctx, plan)
	switch {
	case err != nil:
		return "", err
	case o.Status == answered:
		return "", fmt.Errorf("the call was let through")
	case o.Status != status || o.Verdict == "":
		return "", fmt.Errorf("it was %d %s %q, and should be %d with a sentence", o.Status, o.Phrase, o.Verdict, status)
	}
	return fmt.Sprintf("%d %s: %s", o.Status, o.Phrase, o.Verdict), nil
}

// inboundCall is a call from the lab carrier to the customer's number.
func (d *demo) inboundCall(ctx context.Context) (string, error) {
	node, err := netip.ParseAddrPort(d.node.Ready().SIP.UDP)
	if err != nil {
		return "", err
	}
	carrier, err := d.node.Lab().Call(ctx, trunk.Number(demoNumber), trunk.Number(demoCaller), node)
	if err != nil {
		return "", err
	}
	var in *phone.Incoming
	var customer *phone.Call
	for in == nil || customer == nil {
		select {
		case in = <-d.taken:
		case customer = <-d.call:
		case <-ctx.Done():
			return "", fmt.Errorf("the customer's phone got no call")
		}
	}
	if err := d.listen(ctx, carrier, customer); err != nil {
		return "", err
	}
	st := customer.Stats()
	if err := customer.Hangup(ctx); err != nil {
		return "", err
	}
	if in.Transport != transport.TLS || in.TLS == nil || !in.Secure || st.Suite == "" || st.AuthFailures != 0 {
		return "", fmt.Errorf("it came over %s with %s %s, %d packets were not authentic", st.Transport, st.Profile, st.Suite, st.AuthFailures)
	}
	d.suites[call.Inbound.String()] = st.Suite
	return fmt.Sprintf("from %s to %s: %s %s, %s; both sides heard each other", demoCaller, demoNumber, in.TLS.VersionName(), in.TLS.Cipher, st.Suite), nil
}

// listen waits until each side has heard the other's tone, as long as a test call may talk.
func (d *demo) listen(ctx context.Context, carrier, customer *phone.Call) error {
	over := make(chan struct{})
	timer := d.s.clock.AfterFunc(demoTalk, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	if heard := audioOf(customer); heard != audioTone {
		return fmt.Errorf("the customer heard %s instead of the carrier's tone", heard)
	}
	// The tone that the customer says is the one that an echo would bring back.
	if heard := audioOf(carrier); heard != audioEcho {
		return fmt.Errorf("the carrier heard %s instead of the customer's tone", heard)
	}
	return nil
}

// recordWait bounds the time from the end of a call to its record.
const recordWait = 5 * time.Second

// records reads what the node wrote down.
func (d *demo) records(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	const want = 4 // two calls, two refusals
	var list v1.CallList
	for len(list.Calls) < want {
		if err := d.api.own(ctx, http.MethodGet, v1.Calls+"?"+v1.QueryConnector+"="+d.via.id, nil, &list); err != nil {
			return "", fmt.Errorf("%d of %d calls are recorded: %w", len(list.Calls), want, err)
		}
		if len(list.Calls) < want {
			pause(ctx, d.s, 20*time.Millisecond)
		}
	}
	if len(list.Calls) != want {
		return "", fmt.Errorf("%d calls are recorded, there were %d", len(list.Calls), want)
	}
	var protected uint64
	reasons := map[string]int{}
	for _, r := range list.Calls {
		reasons[r.Reason]++
		m := r.Customer.Media
		if m.PlainSent != 0 || m.PlainDropped != 0 || m.AuthFailures != 0 || !r.RequireEncryption {
			return "", fmt.Errorf("the record of call %s says %s", r.ID, compact(r.Customer))
		}
		if r.Status != answered {
			continue
		}
		if r.Customer.TLSVersion == "" || m.Suite == "" || m.Suite != d.suites[r.Direction] || m.Protected == 0 || m.Unprotected == 0 {
			return "", fmt.Errorf("the record of call %s says %s", r.ID, compact(r.Customer))
		}
		protected += m.Protected + m.Unprotected
	}
	for _, reason := range []call.Reason{call.ReasonSignallingNotEncrypted, call.ReasonMediaNotEncrypted} {
		if reasons[reason.String()] != 1 {
			return "", fmt.Errorf("no record gives the reason %s", reason)
		}
	}
	return fmt.Sprintf("%d records: %d packets protected on the customer's side, 0 sent in the clear", len(list.Calls), protected), nil
}

func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// pause waits, by the session's clock.
func pause(ctx context.Context, s *session, d time.Duration) {
	over := make(chan struct{})
	timer := s.clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
}
