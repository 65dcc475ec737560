package sigv4

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("a", 64))
	f.Add("AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;,Signature=")
	f.Add("AWS4-HMAC-SHA256")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := parseAuthorization(header)
		if err != nil {
			if err.Fault == 0 || err.Message == "" {
				t.Errorf("empty refusal: %+v", err)
			}
			return
		}
		if c.scope != c.day+"/"+c.region+"/"+c.service+"/"+terminator || len(c.signature) != 64 || c.accessKeyID == "" {
			t.Errorf("accepted %q as %+v", header, c)
		}
		if !strings.Contains(";"+c.signedHeaders+";", ";host;") {
			t.Errorf("accepted without host: %q", c.signedHeaders)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fchime%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature="+strings.Repeat("0", 64), "/")
	f.Add("a=%&b=%4&c=%zz&=&&d", "//a/../b")
	f.Fuzz(func(t *testing.T, query, path string) {
		v := newVerifier(Key{Secret: testKey.SecretAccessKey})
		r := &http.Request{Method: "GET", RequestURI: path + "?" + query, Host: "h", Header: http.Header{}}
		// Nobody can guess a signature: whatever this is, it must be refused, and calmly.
		if id, err := v.Verify(t.Context(), r, nil, testScope.Service, testNow); err == nil {
			t.Errorf("accepted as %+v", id)
		}
		// Decoding what was encoded must give it back, or two readers of one query could disagree.
		if got := unescape(string(appendEscaped(nil, query, false))); got != query {
			t.Errorf("escape round trip: %q became %q", query, got)
		}
		if p := normalizePath(path); !strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") {
			t.Errorf("normalizePath(%q) = %q", path, p)
		}
	})
}

// FuzzTarget holds that what is signed is what net/http routes, whatever form a target has.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{
		"/", "/a%2Fb?x=1&y=%20", "//a/../b", "/a\"b", "*", "http://h/a?b", "http://h?b=/c", "HTTPS://h", "http:///a", "http:a",
		"x:/voice-connectors/one?y=://h/voice-connectors/two?z", "http://h/one?y=://h/two", "/one?y=://h/two", "x://h/a", "http://u@h/a",
	} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil || !validTarget(r) {
			return
		}
		path, query := requestTarget(r)
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded != r.URL.Path && (r.URL.Path != "" || path != "/") {
			t.Errorf("%q is routed as %q and signed as %q", target, r.URL.Path, path)
		}
		if query != r.URL.RawQuery {
			t.Errorf("%q has the query %q and is signed with %q", target, r.URL.RawQuery, query)
		}
		if strings.Contains(r.URL.Scheme, "x") {
			t.Errorf("the scheme %s was let through", r.URL.Scheme)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := newVerifier(Key{Secret: testKey.SecretAccessKey})
	r, body := signedRequest(b)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, r, body, testScope.Service, testNow); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyRefused(b *testing.B) {
	for name, id := range map[string]string{"unknown": "AKIDOTHER", "mismatch": testKey.AccessKeyID} {
		b.Run(name, func(b *testing.B) {
			v := newVerifier(Key{Secret: testKey.SecretAccessKey})
			r, body := signedRequest(b)
			if _, err := v.Verify(b.Context(), r, body, testScope.Service, testNow); err != nil {
				b.Fatal(err)
			}
			r.Method = "PUT"
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), testKey.AccessKeyID, id, 1))
			for b.Loop() {
				if _, err := v.Verify(b.Context(), r, body, testScope.Service, testNow); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
