package sip

import "bytes"

// Equal compares two URIs as RFC 3261 §19.1.4 wants: user and password with
// case, host and parameters without, escapes undone, ports and the parameters
// user, ttl, method, maddr and transport present on both sides or on neither,
// other parameters only where both have them, all headers in any order. A tel
// URI is compared by its digits and all its parameters (RFC 3966 §4); any
// other scheme by its text.
func (u *URI) Equal(o *URI) bool {
	switch {
	case u.Scheme != o.Scheme:
		return false
	case u.Scheme == SchemeOther:
		return bytes.Equal(u.Raw, o.Raw)
	case u.Scheme == SchemeTEL:
		return equalNumber(u.User, o.User) && telParams(u, o) && telParams(o, u)
	}
	return (u.User == nil) == (o.User == nil) && equalEscaped(u.User, o.User, false) &&
		(u.Password == nil) == (o.Password == nil) && equalEscaped(u.Password, o.Password, false) &&
		equalEscaped(u.Host, o.Host, true) && u.Port == o.Port &&
		sipParams(u, o) && sipParams(o, u) &&
		sameHeaders(u.Headers, o.Headers) && sameHeaders(o.Headers, u.Headers)
}

// equalEscaped compares with escapes undone; fold ignores the case of letters.
func equalEscaped(a, b []byte, fold bool) bool {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		var x, y byte
		x, i = nextOctet(a, i)
		y, j = nextOctet(b, j)
		if x != y && !(fold && lower(x) == lower(y)) {
			return false
		}
	}
	return i == len(a) && j == len(b)
}

func nextOctet(b []byte, i int) (c byte, next int) {
	if b[i] == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]) {
		return unhex(b[i+1])<<4 | unhex(b[i+2]), i + 3
	}
	return b[i], i + 1
}

// decisive are the parameters whose absence on one side makes URIs differ.
var decisive = [...]string{"user", "ttl", "method", "maddr", "transport"}

// sipParams reports whether no parameter of u contradicts o. A name that stands twice (RFC 3261 section 19.1.1 forbids
// it) counts with its first value on both sides, or such a URI would differ from itself.
func sipParams(u, o *URI) bool {
	for name := range pairs(trimFirst(u.Params), ';') {
		mine, _ := u.Param(string(name))
		other, ok := o.Param(string(name))
		if ok {
			if !equalEscaped(mine, other, true) {
				return false
			}
			continue
		}
		for _, d := range decisive {
			if equalEscaped(name, []byte(d), true) {
				return false
			}
		}
	}
	return true
}

func telParams(u, o *URI) bool {
	for name := range pairs(trimFirst(u.Params), ';') {
		mine, _ := u.Param(string(name))
		if other, ok := o.Param(string(name)); !ok || !equalEscaped(mine, other, true) {
			return false
		}
	}
	return true
}

// sameHeaders reports whether every header of a stands in b, too.
func sameHeaders(a, b []byte) bool {
	for name, value := range pairs(a, '&') {
		found := false
		for n, v := range pairs(b, '&') {
			if equalEscaped(name, n, true) && equalEscaped(value, v, false) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// pairs yields name and value of sep-separated pairs.
func pairs(b []byte, sep byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		for len(b) > 0 {
			var p []byte
			if end := bytes.IndexByte(b, sep); end >= 0 {
				p, b = b[:end], b[end+1:]
			} else {
				p, b = b, nil
			}
			if !yield(cutEqual(p)) {
				return
			}
		}
	}
}

func trimFirst(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[1:]
}

// equalNumber compares telephone numbers without their visual separators.
func equalNumber(a, b []byte) bool {
	i, j := 0, 0
	for {
		for i < len(a) && isSeparator(a[i]) {
			i++
		}
		for j < len(b) && isSeparator(b[j]) {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i, j = i+1, j+1
	}
}

func isSeparator(c byte) bool { return c == '-' || c == '.' || c == '(' || c == ')' }
