package lab

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/numbering"
	"carillon/phone"
	"carillon/sip/transaction"
	"carillon/trunk"
)

func fast() transaction.Timers {
	return transaction.Timers{T1: 5 * time.Millisecond, T2: 40 * time.Millisecond, T4: 50 * time.Millisecond}
}

func start(t *testing.T) *Lab {
	t.Helper()
	l, err := Start(Config{Timers: fast()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func caller(t *testing.T) *phone.Phone {
	t.Helper()
	p, err := phone.New(phone.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, l *Lab, number string, inv phone.Invite) (*phone.Call, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	inv.To, inv.Target = "sip:"+number+"@"+l.Addr().String(), l.Addr()
	return caller(t).Dial(ctx, inv)
}

func number(t *testing.T, name string) string {
	t.Helper()
	n, ok := Find(name)
	if !ok {
		t.Fatalf("no number %q", name)
	}
	return string(n.E164)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func hears(c *phone.Call, hz float64) func() bool {
	return func() bool { return len(c.Recent()) > 10*phone.FrameSize && c.Heard(hz) > 0.8 }
}

// TestNumbers: no number is anybody's, none is refused as risky, and each is found both ways.
func TestNumbers(t *testing.T) {
	seen := map[trunk.Number]bool{}
	for _, n := range Numbers() {
		if parsed, ok := trunk.ParseDialled(string(n.E164)); !ok || parsed != n.E164 {
			t.Errorf("%s: %q is not E.164", n.Name, n.E164)
		}
		if !regexp.MustCompile(`^\+199955501\d\d$`).MatchString(string(n.E164)) || seen[n.E164] {
			t.Errorf("%s: %q is not in 999-555-01XX, or twice there", n.Name, n.E164)
		}
		seen[n.E164] = true
		if numbering.HighRisk(n.E164) {
			t.Errorf("%s: %s lies in a range that is off", n.Name, n.E164)
		}
		if got := numbering.Country(n.E164); got != "US" {
			t.Errorf("%s: %s belongs to %q; a connector with the calling region US could not reach it", n.Name, n.E164, got)
		}
		for _, s := range []string{n.Name, string(n.E164)} {
			if got, ok := Find(s); !ok || got != n {
				t.Errorf("Find(%q) = %v, %v", s, got, ok)
			}
		}
		if n.Does == "" {
			t.Errorf("%s does nothing", n.Name)
		}
	}
	if _, ok := Find("+12065550100"); ok {
		t.Error("found a number that is not the lab's")
	}
}

func TestCarrier(t *testing.T) {
	l := start(t)
	c := l.Carrier()
	if err := trunk.CheckCarrier(&c); err != nil {
		t.Error(err)
	}
	if c.Name != "lab" || !c.Lab || len(c.Targets) != 1 || c.Targets[0].String() != "sip:"+l.Addr().String()+";transport=udp" {
		t.Errorf("carrier %+v", c)
	}
	if len(c.Prefixes) != len(Numbers()) || len(c.Sources) != 1 || c.Sources[0].String() != "127.0.0.1/32" {
		t.Errorf("prefixes %v, sources %v", c.Prefixes, c.Sources)
	}
}

func TestRefusals(t *testing.T) {
	l := start(t)
	for number, status := range map[string]int{number(t, "busy"): 486, number(t, "refuse"): 603, "+12065550100": 404, "echo": 404} {
		_, err := dial(t, l, number, phone.Invite{})
		var f *phone.Failure
		if !errors.As(err, &f) || f.Status != status {
			t.Errorf("%s: got %v, want a Failure with %d", number, err, status)
		}
	}
}

func TestEchoAndTone(t *testing.T) {
	l := start(t)
	c, err := dial(t, l, number(t, "echo"), phone.Invite{Audio: phone.Tone(700)})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the echo", hears(c, 700))
	if c, err = dial(t, l, number(t, "tone"), phone.Invite{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tone", hears(c, ToneHz))
}

func TestKeys(t *testing.T) {
	l := start(t)
	c, err := dial(t, l, number(t, "echo"), phone.Invite{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Press("19#A"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keys come back", func() bool { return c.Pressed() == "19#A" })
	if c, err = dial(t, l, number(t, "dtmf"), phone.Invite{}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []byte("159D") {
		low, high, _ := phone.KeyTones(key)
		eventually(t, "the tones of a key", func() bool {
			last := c.Recent()
			last = last[max(0, len(last)-phone.SampleRate/20):]
			return phone.ToneShare(last, low) > 0.4 && phone.ToneShare(last, high) > 0.4
		})
	}
}

func TestAnswerLate(t *testing.T) {
	t.Parallel()
	l := start(t)
	began := time.Now()
	media := false
	c, err := dial(t, l, number(t, "answer-late"), phone.Invite{OnProgress: func(p phone.Progress) {
		media = media || p.Status == 183 && p.Media
	}})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < lateAfter {
		t.Errorf("answered after %v, want %v", took, lateAfter)
	}
	if !media || c.Stats().PacketsReceived == 0 {
		t.Errorf("early media %v, packets before the answer %d", media, c.Stats().PacketsReceived)
	}
	eventually(t, "the tone", hears(c, ToneHz))
}

func TestNoAnswer(t *testing.T) {
	l := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := caller(t).Dial(ctx, phone.Invite{
		To: "sip:" + number(t, "no-answer") + "@" + l.Addr().String(), Target: l.Addr(),
		OnProgress: func(p phone.Progress) {
			if p.Status == 180 {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	eventually(t, "the lab forgets the call", func() bool { return l.phone.Counters().CallsNow.Load() == 0 })
}

func TestDropAck(t *testing.T) {
	l := start(t)
	c, err := dial(t, l, number(t, "drop-ack"), phone.Invite{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the lab never hung up")
	}
	if c.Ended() != phone.EndRemote {
		t.Errorf("ended %q", c.Ended())
	}
}

// TestCall: the lab as the caller.
func TestCall(t *testing.T) {
	l, p := start(t), caller(t)
	calls := make(chan *phone.Incoming, 1)
	p.Handle(func(in *phone.Incoming) {
		c, err := in.Answer(phone.Answer{Audio: phone.Echo()})
		if err != nil {
			t.Error(err)
		}
		calls <- in
		<-c.Done()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := l.Call(ctx, "+12065550100", "+12065550199", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if in := <-calls; in.User != "+12065550100" || in.FromUser != "+12065550199" || in.Remote != l.Addr() || in.Secure {
		t.Errorf("called %q from %q at %v, secure %v", in.User, in.FromUser, in.Remote, in.Secure)
	}
	eventually(t, "the echo", hears(c, ToneHz))
	if err := c.Hangup(ctx); err != nil {
		t.Error(err)
	}
	if _, err := l.Call(ctx, "+12065550100", "+12065550199", l.Addr()); err == nil {
		t.Error("the lab took a call for a number that is not its own")
	}
}

// TestLongCall: a call that nobody ends is ended at last, whoever placed it.
func TestLongCall(t *testing.T) {
	fake := clocktest.New()
	l, err := Start(Config{Clock: fake})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop := make(chan struct{})
		go func() { // Close waits by the lab's clock
			for {
				select {
				case <-stop:
					return
				default:
					fake.Advance(100 * time.Millisecond)
				}
			}
		}()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		close(stop)
	})
	taken, err := dial(t, l, number(t, "tone"), phone.Invite{})
	if err != nil {
		t.Fatal(err)
	}
	p := caller(t)
	p.Handle(func(in *phone.Incoming) { _, _ = in.Answer(phone.Answer{}) })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	placed, err := l.Call(ctx, "+12065550100", "+12065550199", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	fake.Advance(MaxCallDuration - time.Minute)
	for what, c := range map[string]*phone.Call{"taken": taken, "placed": placed} {
		if c.Ended() != phone.EndNone {
			t.Errorf("the call %s ended %q too early", what, c.Ended())
		}
	}
	eventually(t, "both calls end", func() bool {
		fake.Advance(time.Minute)
		return taken.Ended() == phone.EndRemote && placed.Ended() == phone.EndHangup
	})
}
