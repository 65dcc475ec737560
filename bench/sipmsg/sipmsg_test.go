package sipmsg

import (
	"fmt"
	"os"
	"testing"

	peer "github.com/emiago/sipgo/sip"

	"carillon/sip"
)

const nextHop = "sip:+12065550142@pbx.customer.example:5061;transport=tls"

// forwarded are the headers a B2BUA takes over, beside those it writes itself.
var forwarded = [...]sip.HeaderID{
	sip.HdrAllow, sip.HdrSupported, sip.HdrPAssertedIdentity, sip.HdrPrivacy, sip.HdrDiversion, sip.HdrHistoryInfo,
	sip.HdrUserToUser, sip.HdrSessionExpires, sip.HdrMinSE, sip.HdrGeolocation, sip.HdrUserAgent,
}

func readInvite(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile("../../sip/testdata/invite.sip")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// ours parses, validates and writes the INVITE of the other leg.
func ours(m *sip.Message, b *sip.Builder, invite []byte) ([]byte, error) {
	if err := m.Parse(invite); err != nil {
		return nil, err
	}
	b.Reset()
	b.Request("INVITE", []byte(nextHop))
	b.Header("Via", "SIP/2.0/TLS sbc1.voice.example.net:5061;branch=z9hG4bKc0ffee0123456789;rport")
	b.HeaderUint("Max-Forwards", 69)
	b.Open("From")
	b.WriteText("<sip:")
	b.Write(m.From().URI.User)
	b.WriteText("@sbc1.voice.example.net>;tag=5f3a9c1e77")
	b.Close()
	b.Open("To")
	b.WriteText("<sip:")
	b.Write(m.RequestURI().User)
	b.WriteText("@pbx.customer.example>")
	b.Close()
	b.Header("Call-ID", "7d1f0c6e-5a7e-4a55-9c52-1f2f8c9f1f11")
	b.Header("CSeq", "1 INVITE")
	b.Header("Contact", "<sip:sbc1.voice.example.net:5061;transport=tls>")
	for _, id := range forwarded {
		b.Copy(m, id)
	}
	b.Body("application/sdp", m.Body())
	return b.Bytes(), b.Err()
}

// theirs does the same with the peer; it does not validate.
func theirs(p *peer.Parser, invite []byte) (string, error) {
	msg, err := p.ParseSIP(invite)
	if err != nil {
		return "", err
	}
	in, ok := msg.(*peer.Request)
	if !ok {
		return "", fmt.Errorf("a %T", msg)
	}
	var uri peer.Uri
	if err := peer.ParseUri(nextHop, &uri); err != nil {
		return "", err
	}
	out := peer.NewRequest(peer.INVITE, uri)
	out.AppendHeader(peer.NewHeader("Via", "SIP/2.0/TLS sbc1.voice.example.net:5061;branch=z9hG4bKc0ffee0123456789;rport"))
	out.AppendHeader(peer.NewHeader("Max-Forwards", "69"))
	out.AppendHeader(peer.NewHeader("From", "<sip:"+in.From().Address.User+"@sbc1.voice.example.net>;tag=5f3a9c1e77"))
	out.AppendHeader(peer.NewHeader("To", "<sip:"+in.Recipient.User+"@pbx.customer.example>"))
	out.AppendHeader(peer.NewHeader("Call-ID", "7d1f0c6e-5a7e-4a55-9c52-1f2f8c9f1f11"))
	out.AppendHeader(peer.NewHeader("CSeq", "1 INVITE"))
	out.AppendHeader(peer.NewHeader("Contact", "<sip:sbc1.voice.example.net:5061;transport=tls>"))
	for _, id := range forwarded {
		for _, h := range in.GetHeaders(id.String()) {
			out.AppendHeader(peer.HeaderClone(h))
		}
	}
	out.AppendHeader(peer.NewHeader("Content-Type", "application/sdp"))
	out.SetBody(in.Body())
	return out.String(), nil
}

// Both must do the same work, or the figures say nothing.
func TestSameResult(t *testing.T) {
	invite := readInvite(t)
	var m sip.Message
	a, err := ours(&m, sip.NewBuilder(nil), invite)
	if err != nil {
		t.Fatal(err)
	}
	b, err := theirs(peer.NewParser(), invite)
	if err != nil {
		t.Fatal(err)
	}
	var x, y sip.Message
	if err := x.Parse([]byte(string(a))); err != nil {
		t.Fatal(err)
	}
	if err := y.Parse([]byte(b)); err != nil {
		t.Fatal(err)
	}
	if string(x.Body()) != string(y.Body()) || string(x.RequestURI().Raw) != string(y.RequestURI().Raw) {
		t.Errorf("body or Request-URI differ:\n%s\n%s", a, b)
	}
	count := func(m *sip.Message) (n int) {
		for range m.Fields() {
			n++
		}
		return n
	}
	if count(&x) != count(&y) {
		t.Errorf("%d lines and %d:\n%s\n%s", count(&x), count(&y), a, b)
	}
	for f := range x.Fields() {
		if got := string(y.Lookup(string(f.Name))); got != string(f.Value) {
			t.Errorf("%s: %q and %q", f.Name, f.Value, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	invite := readInvite(b)
	b.Run("carillon", func(b *testing.B) {
		var m sip.Message
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Parse(invite); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sipgo", func(b *testing.B) {
		p := peer.NewParser()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.ParseSIP(invite); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseRewrite(b *testing.B) {
	invite := readInvite(b)
	b.Run("carillon", func(b *testing.B) {
		var m sip.Message
		w := sip.NewBuilder(make([]byte, 0, 4096))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ours(&m, w, invite); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sipgo", func(b *testing.B) {
		p := peer.NewParser()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := theirs(p, invite); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParseSerialise is parse and write back unchanged, the peer's best case.
func BenchmarkParseSerialise(b *testing.B) {
	invite := readInvite(b)
	b.Run("carillon", func(b *testing.B) {
		var m sip.Message
		w := sip.NewBuilder(make([]byte, 0, 4096))
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Parse(invite); err != nil {
				b.Fatal(err)
			}
			w.Reset()
			w.Request("INVITE", m.RequestURI().Raw)
			for f := range m.Fields() {
				if f.ID != sip.HdrContentLength && f.ID != sip.HdrContentType {
					w.CopyField(f)
				}
			}
			w.Body("application/sdp", m.Body())
			if w.Err() != nil {
				b.Fatal(w.Err())
			}
		}
	})
	b.Run("sipgo", func(b *testing.B) {
		p := peer.NewParser()
		b.ReportAllocs()
		for b.Loop() {
			m, err := p.ParseSIP(invite)
			if err != nil {
				b.Fatal(err)
			}
			_ = m.String()
		}
	})
}
