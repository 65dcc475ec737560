package sip

import "testing"

func parsed(t *testing.T, lines ...string) *Message {
	t.Helper()
	m := new(Message)
	if err := m.Parse(request(lines...)); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestUint(t *testing.T) {
	for value, want := range map[string]struct {
		n  uint32
		ok bool
	}{
		"0":                           {0, true},
		"1800;refresher=uac":          {1800, true},
		"1800 ;refresher=uac":         {1800, true},
		"18 (in a meeting)":           {18, true},
		"18(in a meeting)":            {18, true},
		"4294967295":                  {4294967295, true},
		"4294967296":                  {0, false},
		"949302838503028349304023988": {0, false},
		"18x":                         {0, false},
		"-1":                          {0, false},
		"":                            {0, false},
		";x":                          {0, false},
	} {
		if n, ok := parsed(t, "Session-Expires: "+value).Uint(HdrSessionExpires); n != want.n || ok != want.ok {
			t.Errorf("%q: got %d %v, want %d %v", value, n, ok, want.n, want.ok)
		}
	}
	if _, ok := parsed(t).Uint(HdrExpires); ok {
		t.Error("an absent header has a number")
	}
}

func TestRAck(t *testing.T) {
	rseq, cseq, method, ok := parsed(t, "RAck:  776656   1\tINVITE ").RAck()
	if !ok || rseq != 776656 || cseq != 1 || string(method) != "INVITE" {
		t.Errorf("got %d %d %s %v", rseq, cseq, method, ok)
	}
	for _, value := range []string{"", "1", "1 2", "1 2 ", "x 2 INVITE", "1 x INVITE", "4294967296 1 INVITE", "1 2147483648 INVITE", "1 2 IN VITE"} {
		if rseq, cseq, method, ok := parsed(t, "RAck: "+value).RAck(); ok {
			t.Errorf("%q: got %d %d %s", value, rseq, cseq, method)
		}
	}
}

func TestValueParam(t *testing.T) {
	for _, c := range []struct {
		value, name, want string
		ok                bool
	}{
		{"1800;refresher=uac", "Refresher", "uac", true},
		{`Q.850 ; cause=16 ;text="a;cause=17"`, "cause", "16", true},
		{`Q.850;text="a;x=17"`, "x", "", false},
		{"multipart/mixed;boundary=\"a b\"", "boundary", `"a b"`, true},
		{"a;lr", "lr", "", true},
		{"a", "lr", "", false},
		{"", "lr", "", false},
	} {
		if got, ok := ValueParam([]byte(c.value), c.name); ok != c.ok || string(got) != c.want {
			t.Errorf("%s of %s: got %q %v, want %q %v", c.name, c.value, got, ok, c.want, c.ok)
		}
	}
}

func TestAppendQuoted(t *testing.T) {
	got := string(AppendQuoted([]byte("x="), `a "b" \ ü`))
	if want := `x="a \"b\" \\ ü"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	n := NameAddr{Display: AppendQuoted(nil, `a "b" \ ü`)}
	if back := string(n.AppendDisplay(nil)); back != `a "b" \ ü` {
		t.Errorf("read back: %s", back)
	}
}

func TestMediaTypeIs(t *testing.T) {
	for value, want := range map[string]bool{
		"application/sdp": true, "Application/SDP;charset=x": true, "application / sdp ; x": true,
		"application/sdpx": false, "application": false, "": false, "application/": false, "/sdp": false, "applicatio/nsdp": false,
	} {
		if got := MediaTypeIs([]byte(value), "application/sdp"); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
	if MediaTypeIs([]byte("application/sdp"), "application") {
		t.Error("half a type matches")
	}
}
