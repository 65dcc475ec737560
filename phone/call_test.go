package phone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"carillon/sip/transport"
	"carillon/srtp"
)

// TestTalk proves, for every transport and protection, that each side hears the other's tone and nothing of its own.
func TestTalk(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		for _, suite := range append([]srtp.Suite{0}, DefaultSuites()...) {
			name := fmt.Sprintf("%s/%s", proto, suite)
			if suite == 0 {
				name = proto.String() + "/plain"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				talk(t, proto, suite)
			})
		}
	}
}

func talk(t *testing.T, proto transport.Proto, suite srtp.Suite) {
	caller, callee := twoPhones(t, proto)
	answered := answering(t, callee, func() Answer { return Answer{Audio: Tone(440)} })
	inv := to(callee, "+19995550100")
	inv.Audio, inv.Codec, inv.From = Tone(1004), PCMA, "+19995550199"
	profile, suiteName := "RTP/AVP", ""
	if suite != 0 {
		inv.Suites, profile, suiteName = []srtp.Suite{suite}, "RTP/SAVP", suite.String()
	}
	ctx := testContext(t)
	c, err := caller.Dial(ctx, inv)
	if err != nil {
		t.Fatal(err)
	}
	far := await(t, "the answered call", answered)
	await(t, "ACK", far.Confirmed())
	eventually(t, "both hear the other's tone", func() bool {
		return len(c.Recent()) >= 2*FrameSize && len(far.Recent()) >= 2*FrameSize && c.Heard(440) > 0.9 && far.Heard(1004) > 0.9
	})
	if own := c.Heard(1004); own > 0.1 {
		t.Errorf("the caller hears %.2f of its own tone", own)
	}
	s, fs := c.Stats(), far.Stats()
	if s.Profile != profile || s.Suite != suiteName || s.Codec != "PCMA/8000" || fs.Suite != suiteName || fs.Profile != profile {
		t.Errorf("agreed on %q %q %q and %q %q; want %q %q", s.Profile, s.Suite, s.Codec, fs.Profile, fs.Suite, profile, suiteName)
	}
	if s.Local != fs.Remote || fs.Local != s.Remote {
		t.Errorf("addresses %v-%v and %v-%v do not match", s.Local, s.Remote, fs.Local, fs.Remote)
	}
	if s.AuthFailures+s.Replays+s.WrongSource+s.Rejected+s.Lost != 0 {
		t.Errorf("clean call with faults: %+v", s)
	}
	if s.PacketsReceived == 0 || s.BytesReceived != s.PacketsReceived*FrameSize || s.FirstPacket <= 0 {
		t.Errorf("figures of what came: %+v", s)
	}
	if (s.TLS != nil) != (proto == transport.TLS) || s.Transport != proto {
		t.Errorf("signalling over %v with TLS %v", s.Transport, s.TLS)
	}
	if s.TLS != nil && (s.TLS.Check != transport.PeerVerified || s.TLS.Cipher == "" || s.TLS.VersionName() != "TLS 1.3") {
		t.Errorf("TLS is %+v", s.TLS)
	}
	if err := c.Hangup(ctx); err != nil {
		t.Error(err)
	}
	await(t, "the far end's end", far.Done())
	if c.Ended() != EndHangup || far.Ended() != EndRemote {
		t.Errorf("ended %q and %q", c.Ended(), far.Ended())
	}
	if n := caller.Counters().CallsNow.Load(); n != 0 {
		t.Errorf("%d calls are left", n)
	}
}

func TestCalleeHangsUpAndEcho(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	answered := answering(t, callee, func() Answer { return Answer{Audio: Echo()} })
	inv := to(callee, "echo")
	inv.Audio = Tone(700)
	ctx := testContext(t)
	c, err := caller.Dial(ctx, inv)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the echo", func() bool { return len(c.Recent()) > 20*FrameSize && c.Heard(700) > 0.8 })
	far := await(t, "the answered call", answered)
	if err := far.Hangup(ctx); err != nil {
		t.Error(err)
	}
	await(t, "the caller's end", c.Done())
	if c.Ended() != EndRemote || far.Ended() != EndHangup {
		t.Errorf("ended %q and %q", c.Ended(), far.Ended())
	}
}

func TestRefusal(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	callee.Handle(func(in *Incoming) {
		if err := in.Ring(180, nil); err != nil {
			t.Error(err)
		}
		if err := in.Reject(486, "", Header{"Reason", "Q.850;cause=17"}, Header{"Warning", `399 test "in a meeting"`}); err != nil {
			t.Error(err)
		}
		if err := in.Reject(480, ""); !errors.Is(err, ErrOver) {
			t.Errorf("second refusal: %v, want ErrOver", err)
		}
	})
	var progress []int
	inv := to(callee, "busy")
	inv.OnProgress = func(p Progress) { progress = append(progress, p.Status) }
	_, err := caller.Dial(testContext(t), inv)
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a Failure", err)
	}
	want := Failure{Status: 486, Phrase: "Busy Here", Reason: "Q.850;cause=17", Warning: `399 test "in a meeting"`}
	if *f != want {
		t.Errorf("got %+v, want %+v", *f, want)
	}
	if !slices.Equal(progress, []int{100, 180}) {
		t.Errorf("progress %v, want [100 180]", progress)
	}
}

func TestNobodyThere(t *testing.T) {
	silent := newPhone(t, Config{})
	addr := silent.Addr()
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	caller := newPhone(t, Config{Timers: fast()})
	_, err := caller.Dial(testContext(t), Invite{To: "sip:x@" + addr.String(), Target: addr})
	if err == nil || errors.As(err, new(*Failure)) {
		t.Errorf("got %v, want an error of the network or ErrSilent", err)
	}
	if n := caller.Counters().CallsNow.Load(); n != 0 {
		t.Errorf("%d calls are left", n)
	}
}

func TestCancel(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	cancelled := make(chan error, 1)
	callee.Handle(func(in *Incoming) {
		_ = in.Ring(180, nil)
		<-in.Context().Done()
		_, err := in.Answer(Answer{})
		cancelled <- err
	})
	ctx, cancel := context.WithCancel(testContext(t))
	inv := to(callee, "x")
	inv.OnProgress = func(Progress) { cancel() }
	if _, err := caller.Dial(ctx, inv); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial gave %v, want context.Canceled", err)
	}
	if err := await(t, "CANCEL", cancelled); !errors.Is(err, ErrOver) {
		t.Errorf("answering a cancelled call gave %v, want ErrOver", err)
	}
	eventually(t, "the callee forgets the call", func() bool { return callee.Counters().CallsNow.Load() == 0 })
}

// TestDowngrade: whoever answers an encrypted offer in the clear gets no packet of audio.
func TestDowngrade(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	answered := answering(t, callee, func() Answer { return Answer{Downgrade: true, Audio: Tone(440)} })
	inv := to(callee, "x")
	inv.Suites = DefaultSuites()
	_, err := caller.Dial(testContext(t), inv)
	var f *Failure
	if !errors.As(err, &f) || f.Status != 200 || f.Local != errPlain.Error() {
		t.Fatalf("got %v, want a Failure of this phone", err)
	}
	far := await(t, "the answered call", answered)
	await(t, "BYE", far.Done())
	if s := far.Stats(); s.Profile != "RTP/AVP" || s.PacketsReceived+s.WrongSource+s.RTCPReceived != 0 {
		t.Errorf("the far end got something: %+v", s)
	}
}

func TestPlainOfferRefused(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	_ = answering(t, callee, func() Answer { return Answer{Secure: true} })
	_, err := caller.Dial(testContext(t), to(callee, "x"))
	var f *Failure
	if !errors.As(err, &f) || f.Status != 488 || f.Warning == "" {
		t.Errorf("got %v, want a Failure with 488 and a warning", err)
	}
}

func TestNoCommonSuite(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	_ = answering(t, callee, func() Answer { return Answer{Suites: []srtp.Suite{srtp.AEAD_AES_128_GCM}} })
	inv := to(callee, "x")
	inv.Suites = []srtp.Suite{srtp.AES_CM_128_HMAC_SHA1_80}
	_, err := caller.Dial(testContext(t), inv)
	var f *Failure
	if !errors.As(err, &f) || f.Status != 488 {
		t.Errorf("got %v, want a Failure with 488", err)
	}
}

// TestSecondLine: the first crypto line is not always the one that can be used.
func TestSecondLine(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	_ = answering(t, callee, func() Answer { return Answer{Suites: []srtp.Suite{srtp.AES_CM_128_HMAC_SHA1_80}, Audio: Tone(440)} })
	inv := to(callee, "x")
	inv.Suites = DefaultSuites()
	c, err := caller.Dial(testContext(t), inv)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Suite != "AES_CM_128_HMAC_SHA1_80" {
		t.Errorf("agreed on %q", s.Suite)
	}
	eventually(t, "audio", func() bool { return len(c.Recent()) > 0 && c.Heard(440) > 0.9 })
}

func TestDropAck(t *testing.T) {
	callee := newPhone(t, Config{Timers: fast()})
	caller := newPhone(t, Config{})
	answered := answering(t, callee, func() Answer { return Answer{DropAck: true} })
	c, err := caller.Dial(testContext(t), to(callee, "x"))
	if err != nil {
		t.Fatal(err)
	}
	far := await(t, "the answered call", answered)
	await(t, "BYE", c.Done())
	await(t, "the far end's end", far.Done())
	if c.Ended() != EndRemote || far.Ended() != EndNoAck {
		t.Errorf("ended %q and %q", c.Ended(), far.Ended())
	}
	if n := callee.layer.Stats().Repeats.Load(); n < 2 {
		t.Errorf("the 200 was repeated %d times", n)
	}
}

// TestByeBeforeAck: a caller that hangs up without ACK ends the repetitions too.
func TestByeBeforeAck(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{Timers: fast()})
	answered := answering(t, p, func() Answer { return Answer{} })
	ok := u.send(p, u.request(p, "INVITE", 1, "", sdpType)+describe("m=audio 4000 RTP/AVP 0\r\n"))
	if bye := u.send(p, u.request(p, "BYE", 2, string(ok.To().Tag()))); bye.Status() != 200 {
		t.Errorf("BYE answered %d", bye.Status())
	}
	c := await(t, "the call", answered)
	await(t, "the end", c.Done())
	repeats := p.layer.Stats().Repeats.Load()
	time.Sleep(100 * time.Millisecond)
	if again := p.layer.Stats().Repeats.Load(); again != repeats || c.Ended() != EndRemote {
		t.Errorf("the 200 was repeated %d times after the end %q", again-repeats, c.Ended())
	}
}

// TestConnectionLost: a call whose signalling connection is gone is over.
func TestConnectionLost(t *testing.T) {
	caller, callee := twoPhones(t, transport.TLS)
	answered := answering(t, callee, func() Answer { return Answer{} })
	c, err := caller.Dial(testContext(t), to(callee, "x"))
	if err != nil {
		t.Fatal(err)
	}
	far := await(t, "the answered call", answered)
	await(t, "ACK", far.Confirmed())
	if err := c.flow.Close(); err != nil {
		t.Error(err)
	}
	await(t, "the end", c.Done())
	await(t, "the far end's end", far.Done())
	if c.Ended() != EndLost || far.Ended() != EndLost {
		t.Errorf("ended %q and %q, want %q", c.Ended(), far.Ended(), EndLost)
	}
}

// TestStrangeServer: a TLS server that cannot prove its name gets no INVITE.
func TestStrangeServer(t *testing.T) {
	certificate, _ := testCertificate(t)
	callee := newPhone(t, Config{Proto: transport.TLS, Certificate: certificate})
	_, roots := testCertificate(t)
	caller := newPhone(t, Config{Proto: transport.TLS, Roots: roots})
	_, err := caller.Dial(testContext(t), to(callee, "x"))
	if !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("got %v, want an error of the certificate", err)
	}
	if n := callee.Counters().Received.Load(); n != 0 {
		t.Errorf("%d INVITEs came through", n)
	}
}

func TestIPv6(t *testing.T) {
	loopback := netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	callee, err := New(Config{Bind: loopback})
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("this machine has no IPv6: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = callee.Close() })
	caller := newPhone(t, Config{Bind: loopback})
	answered := answering(t, callee, func() Answer { return Answer{Audio: Tone(440)} })
	c, err := caller.Dial(testContext(t), to(callee, "x"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the answered call", answered)
	eventually(t, "audio", func() bool { return len(c.Recent()) > 0 && c.Heard(440) > 0.9 })
	if !c.Stats().Remote.Addr().Is6() {
		t.Errorf("media go to %v", c.Stats().Remote)
	}
}

func TestEarlyMedia(t *testing.T) {
	caller, callee := twoPhones(t, transport.UDP)
	proceed, tone := make(chan bool), make(chan *Call, 1)
	callee.Handle(func(in *Incoming) {
		if err := in.Ring(183, &Answer{Audio: Tone(440)}); err != nil {
			t.Error(err)
		}
		<-proceed
		c, err := in.Answer(Answer{Audio: Tone(1004)})
		if err != nil {
			t.Error(err)
		}
		tone <- c
	})
	heard := make(chan float64, 1)
	inv := to(callee, "x")
	inv.Suites = DefaultSuites()
	var early []int16
	inv.Audio.Hear = func(s []int16) {
		if early = append(early, s...); len(early) == 10*FrameSize {
			heard <- ToneShare(early, 440)
		}
	}
	media := false
	inv.OnProgress = func(p Progress) { media = media || p.Status == 183 && p.Media }
	go func() { proceed <- <-heard > 0.9 }()
	c, err := caller.Dial(testContext(t), inv)
	if err != nil {
		t.Fatal(err)
	}
	_ = await(t, "the answered call", tone)
	if !media {
		t.Error("no early media were told of")
	}
	eventually(t, "the tone after the answer", func() bool { return c.Heard(1004) > 0.9 })
	if s := c.Stats(); s.AuthFailures+s.Replays != 0 {
		t.Errorf("the answer broke the key: %+v", s)
	}
}

func TestTooManyCalls(t *testing.T) {
	callee := newPhone(t, Config{MaxCalls: 1})
	caller := newPhone(t, Config{})
	_ = answering(t, callee, func() Answer { return Answer{} })
	if _, err := caller.Dial(testContext(t), to(callee, "x")); err != nil {
		t.Fatal(err)
	}
	_, err := caller.Dial(testContext(t), to(callee, "x"))
	var f *Failure
	if !errors.As(err, &f) || f.Status != 486 {
		t.Errorf("got %v, want a Failure with 486", err)
	}
	if n := callee.Counters().OverCalls.Load(); n != 1 {
		t.Errorf("OverCalls is %d", n)
	}
}

// TestClose: calls, handlers and dials do not outlive their phone.
func TestClose(t *testing.T) {
	caller, callee := twoPhones(t, transport.TCP)
	ringing := make(chan bool, 1)
	callee.Handle(func(in *Incoming) {
		if in.User == "answer" {
			_, _ = in.Answer(Answer{})
			return
		}
		ringing <- true
		<-in.Context().Done()
	})
	c, err := caller.Dial(testContext(t), to(callee, "answer"))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := caller.Dial(context.Background(), to(callee, "ring"))
		failed <- err
	}()
	<-ringing
	began := time.Now()
	if err := caller.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > cancelWait+closeWait+time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := await(t, "the end of Dial", failed); !errors.Is(err, ErrClosed) {
		t.Errorf("Dial gave %v, want ErrClosed", err)
	}
	if c.Ended() != EndClosed {
		t.Errorf("ended %q", c.Ended())
	}
	eventually(t, "the callee's calls end", func() bool { return callee.Counters().CallsNow.Load() == 0 })
	if _, err := caller.Dial(testContext(t), to(callee, "answer")); !errors.Is(err, ErrClosed) {
		t.Errorf("Dial of a closed phone gave %v, want ErrClosed", err)
	}
}
