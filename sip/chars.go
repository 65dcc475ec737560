package sip

// Classes of octets, RFC 3261 §25.1.
const (
	chToken  uint8 = 1 << iota // token
	chUser                     // user: unreserved and user-unreserved, without the escape
	chPass                     // password, without the escape
	chHost                     // hostname, IPv4address; the underscore too, see parseHost
	chParam                    // paramchar of a URI, without the escape
	chHeader                   // hname and hvalue of a URI, without the escape
	chURI                      // uric of any other scheme, without the escape
	chCallID                   // word and "@", as lax as callers have proven to be
)

const (
	alphanum   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	mark       = "-_.!~*'()"
	unreserved = alphanum + mark
)

var chars = charClasses()

func charClasses() (t [256]uint8) {
	add := func(class uint8, set string) {
		for i := range len(set) {
			t[set[i]] |= class
		}
	}
	add(chToken, alphanum+"-.!%*_+`'~")
	add(chUser, unreserved+"&=+$,;?/")
	add(chPass, unreserved+"&=+$,")
	add(chHost, alphanum+"-._")
	add(chParam, unreserved+"[]/:&+$")
	add(chHeader, unreserved+"[]/?:+$")
	add(chURI, unreserved+";/?:@&=+$,[]")
	for c := 0x21; c < 0x7f; c++ {
		t[c] |= chCallID
	}
	return t
}

func is(c byte, class uint8) bool { return chars[c]&class != 0 }

// all reports whether b is made of one class; an empty b is not.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if chars[c]&class == 0 {
			return false
		}
	}
	return len(b) > 0
}

// allEscaped is all with "%" HEXDIG HEXDIG allowed; an empty b passes.
func allEscaped(b []byte, class uint8) bool {
	for i := 0; i < len(b); i++ {
		if chars[b[i]]&class != 0 {
			continue
		}
		if b[i] != '%' || i+2 >= len(b) || !isHex(b[i+1]) || !isHex(b[i+2]) {
			return false
		}
		i += 2
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func isDigit(c byte) bool { return c-'0' < 10 }

func isAlpha(c byte) bool { return (c|0x20)-'a' < 26 }

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}

func lower(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

// equalFold compares ignoring the case of ASCII letters, and of nothing else.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if b[i] != s[i] && lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

// trim cuts spaces and tabs at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// parseUint reads 1*DIGIT up to max; anything else, also a sign, is refused.
func parseUint(b []byte, max uint64) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		// max is far below 2^60, so this cannot wrap before the check.
		if n = n*10 + uint64(c-'0'); n > max {
			return 0, false
		}
	}
	return n, true
}
