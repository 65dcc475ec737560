package interop

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"carillon/sip/transport"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// TestSipgoThroughTheNode: sipgo calls sipgo, as a customer with a password and as the carrier, with the node between them:
// a call that the customer ends, one that the carrier ends, one that is refused and one that is given up.
func TestSipgoThroughTheNode(t *testing.T) {
	t.Parallel()
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP} {
		for _, ends := range []string{"customer", "carrier", "486", "cancel"} {
			t.Run(proto.String()+"/"+ends, func(t *testing.T) {
				t.Parallel()
				x := newSipgoCall(t, proto, ends)
				switch ends {
				case "486":
					refused, ok := x.err.(*sipgo.ErrDialogResponse)
					if !ok || refused.Res.StatusCode != 486 {
						t.Errorf("got %v, want 486", x.err)
					}
					x.wantRecord(t, 486, "remote_refused", "carrier")
				case "cancel":
					if x.err == nil {
						t.Error("a call nobody answered was answered")
					}
					x.wantRecord(t, 487, "cancelled", "customer")
				default:
					x.talk(t, ends)
					x.wantRecord(t, 200, "hangup", ends)
				}
			})
		}
	}
}

// sipgoCall is a call between two agents of sipgo.
type sipgoCall struct {
	n         *process
	vc        connector
	near      *echoMedia
	dialog    *sipgo.DialogClientSession
	err       error                           // of waiting for the answer
	far       chan *sipgo.DialogServerSession // answered
	ended     chan error                      // at the carrier
	transport string
}

func newSipgoCall(t *testing.T, proto transport.Proto, ends string) *sipgoCall {
	t.Helper()
	n := node(t)
	x := &sipgoCall{n: n, vc: n.connect(t, false), far: make(chan *sipgo.DialogServerSession, 1), ended: make(chan error, 1)}
	x.transport = strings.ToLower(proto.String())
	media := newEchoMedia(t, "")
	carrier := newSipgoAgent(t, proto, func(agent *sipgoAgent, r *sip.Request, tx sip.ServerTransaction) {
		x.ended <- x.takes(agent, media, ends, r, tx)
	})
	number := n.carrier(t, "sip:"+carrier.addr.String()+";transport="+x.transport, "off")
	customer := newSipgoAgent(t, proto, nil)
	x.near = newEchoMedia(t, "")
	to := sip.Uri{Scheme: "sip", User: number, Host: x.vc.Host, UriParams: sip.NewParams()}
	invite := sip.NewRequest(sip.INVITE, to)
	invite.SetTransport(proto.String())
	// As phones do that have an outbound proxy: sipgo sends the CANCEL by the Route, too, and by no other way than names.
	at := netip.MustParseAddrPort(n.sip(x.transport))
	proxy := sip.Uri{Scheme: "sip", Host: at.Addr().String(), Port: int(at.Port()), UriParams: sip.NewParams()}
	proxy.UriParams.Add("transport", x.transport)
	proxy.UriParams.Add("lr", "")
	invite.AppendHeader(&sip.RouteHeader{Address: proxy})
	from := &sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: x.vc.number, Host: x.vc.Host}, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	invite.AppendHeader(from)
	invite.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	invite.SetBody(x.near.describe(""))
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(stop)
	if x.dialog, x.err = customer.callers.WriteInvite(ctx, invite); x.err != nil {
		t.Fatal(x.err)
	}
	t.Cleanup(func() { x.dialog.Close() })
	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	x.err = x.dialog.WaitAnswer(waiting, sipgo.AnswerOptions{Username: phoneUser, Password: phonePassword, OnResponse: func(r *sip.Response) error {
		if r.StatusCode == 180 && ends == "cancel" {
			giveUp()
		}
		return nil
	}})
	return x
}

// takes plays the carrier until its call is over.
func (x *sipgoCall) takes(agent *sipgoAgent, media *echoMedia, ends string, r *sip.Request, tx sip.ServerTransaction) error {
	d, err := agent.callees.ReadInvite(r, tx)
	if err != nil {
		return err
	}
	defer d.Close()
	if ends == "486" {
		return d.Respond(486, "Busy Here", nil)
	}
	if _, err := media.take(r.Body()); err != nil {
		return err
	}
	if err := d.Respond(180, "Ringing", nil); err != nil {
		return err
	}
	if ends == "cancel" {
		<-tx.Done()
		return nil
	}
	if err := d.RespondSDP(media.describe("")); err != nil {
		return err
	}
	x.far <- d
	<-d.Context().Done()
	return nil
}

// talk acknowledges the answer, hears its own packets come back from the carrier and ends the call from a side.
func (x *sipgoCall) talk(t *testing.T, ends string) {
	t.Helper()
	if x.err != nil {
		t.Fatal(x.err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := x.dialog.Ack(ctx); err != nil {
		t.Fatal(err)
	}
	port := regexp.MustCompile(`m=audio (\d+) RTP/AVP`).FindStringSubmatch(string(x.dialog.InviteResponse.Body()))
	if port == nil {
		t.Fatalf("the answer is\n%s", x.dialog.InviteResponse.Body())
	}
	to := netip.MustParseAddrPort("127.0.0.1:" + port[1])
	packet := make([]byte, 12+160)
	packet[0] = 0x80
	const count = 50
	for seq := range count {
		binary.BigEndian.PutUint16(packet[2:], uint16(seq))
		binary.BigEndian.PutUint32(packet[4:], uint32(160*seq))
		if _, err := x.near.conn.WriteToUDPAddrPort(packet, to); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	heard, buf := 0, make([]byte, 2048)
	x.near.conn.SetReadDeadline(time.Now().Add(time.Second))
	for heard < count {
		n, from, err := x.near.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			break
		}
		if n == len(packet) && net.IP(from.Addr().AsSlice()).IsLoopback() {
			heard++
		}
	}
	if heard < count*8/10 {
		t.Errorf("%d of %d packets came back", heard, count)
	}
	far := <-x.far
	if ends == "carrier" {
		if err := far.Bye(ctx); err != nil {
			t.Error(err)
		}
		select {
		case <-x.dialog.Context().Done():
		case <-ctx.Done():
			t.Error("the customer was never hung up")
		}
	} else if err := x.dialog.Bye(ctx); err != nil {
		t.Error(err)
	}
}

func (x *sipgoCall) wantRecord(t *testing.T, status int, reason, by string) {
	t.Helper()
	select {
	case err := <-x.ended:
		if err != nil {
			t.Errorf("the carrier: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the carrier's call is not over")
	}
	r := x.n.records(t, x.vc, 1)[0]
	if r.Status != status || r.Reason != reason || r.HungUpBy != by || r.AuthUser != phoneUser || r.Customer.Transport != x.transport || r.CarrierLeg.Transport != x.transport {
		t.Errorf("record %+v", r)
	}
}
