package iam

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Context holds the facts of a request that conditions ask about, by key in small letters (see [Keys]). A key that is
// not there, or has no value, is a fact nobody knows.
type Context map[string][]string

// Set makes value the one value of key.
func (c Context) Set(key, value string) { c[key] = []string{value} }

// Add gives key one more value.
func (c Context) Add(key, value string) {
	key = foldASCII(key)
	c[key] = append(c[key], value)
}

// Keys of a Context. A policy that names any other key is refused.
const (
	KeySourceIP         = "aws:sourceip"
	KeyCurrentTime      = "aws:currenttime"
	KeyEpochTime        = "aws:epochtime"
	KeySecureTransport  = "aws:securetransport"
	KeyPrincipalAccount = "aws:principalaccount"
	KeyPrincipalARN     = "aws:principalarn"
	KeyRequestedRegion  = "aws:requestedregion"
	KeyUserAgent        = "aws:useragent"
	// KeyTokenIssueTime is there for temporary keys only.
	KeyTokenIssueTime = "aws:tokenissuetime"
	// KeyViaService is always false, and KeyMFA never there: both are in policies that are in use.
	KeyViaService = "aws:viaawsservice"
	KeyMFA        = "aws:multifactorauthpresent"
	// KeyTagKeys has the keys of all tags in the request, and so any number of values.
	KeyTagKeys = "aws:tagkeys"
	// KeyResourceTag and KeyRequestTag are followed by the key of a tag, in small letters: AWS has capitals matter in
	// neither.
	KeyResourceTag = "aws:resourcetag/"
	KeyRequestTag  = "aws:requesttag/"
)

// Keys returns the condition keys a policy may name, in small letters. Those that end in a slash go on with a tag's key.
func Keys() []string {
	return []string{
		KeySourceIP, KeyCurrentTime, KeyEpochTime, KeySecureTransport, KeyPrincipalAccount, KeyPrincipalARN, KeyRequestedRegion,
		KeyUserAgent, KeyTokenIssueTime, KeyViaService, KeyMFA, KeyTagKeys, KeyResourceTag, KeyRequestTag,
	}
}

func knownKey(key string) bool {
	for _, k := range Keys() {
		if k == key && !strings.HasSuffix(k, "/") || strings.HasSuffix(k, "/") && strings.HasPrefix(key, k) && len(key) > len(k) {
			return true
		}
	}
	return false
}

// quantifier says how many of the values a key has must do.
type quantifier uint8

const (
	// oneValue is that of operators without a prefix: the key has one value.
	oneValue quantifier = iota
	forAllValues
	forAnyValue
)

// condition is one operator with one key.
type condition struct {
	key string
	// negated operators hold when no value fits; the others when at least one does.
	negated bool
	// ifExists and negated operators hold when the key is not there.
	ifExists bool
	// wantNull is set by the operator Null only: 1 the key must be missing, 2 it must be there.
	wantNull uint8
	// over is that of ForAllValues: and ForAnyValue:.
	over  quantifier
	tests []test
}

// test reports whether the value from the request fits one value of the policy. A value that cannot be read does not.
type test func(got string) bool

// holds reports whether the condition holds, for a statement that allows or denies.
func (c *condition) holds(ctx Context, e effect) bool {
	got := ctx[c.key]
	switch {
	case len(got) > 1 && c.over == oneValue && c.wantNull == 0:
		// No fact is two things at once. Where it seems so, by tags whose keys differ in capitals, whoever set the second
		// must gain nothing by it.
		return e == effectDeny
	case c.wantNull != 0:
		return (len(got) > 0) == (c.wantNull == 2)
	case c.over == forAllValues:
		// As in AWS it holds where there is nothing: policies add a Null against that.
		return !slices.ContainsFunc(got, func(v string) bool { return c.fits(v) == c.negated })
	case c.over == forAnyValue && len(got) > 0:
		return slices.ContainsFunc(got, func(v string) bool { return c.fits(v) != c.negated })
	case c.over == forAnyValue:
		return c.ifExists
	case len(got) == 0:
		return c.ifExists || c.negated
	}
	return slices.ContainsFunc(got, c.fits) != c.negated
}

// fits reports whether a value of the request fits one of the policy.
func (c *condition) fits(got string) bool {
	for _, t := range c.tests {
		if t(got) {
			return true
		}
	}
	return false
}

// operator makes the test for one value of the policy.
type operator struct {
	make    func(want string) (test, error)
	negated bool
}

// operators returns the operator of that name. A switch and not a map: nothing to change by accident.
func operators(name string) (operator, bool) {
	switch name {
	case "StringEquals":
		return operator{stringEquals, false}, true
	case "StringNotEquals":
		return operator{stringEquals, true}, true
	case "StringEqualsIgnoreCase":
		return operator{stringEqualsFold, false}, true
	case "StringNotEqualsIgnoreCase":
		return operator{stringEqualsFold, true}, true
	case "StringLike":
		return operator{stringLike, false}, true
	case "StringNotLike":
		return operator{stringLike, true}, true
	case "ArnLike", "ArnEquals":
		return operator{arnLike, false}, true
	case "ArnNotLike", "ArnNotEquals":
		return operator{arnLike, true}, true
	case "Bool":
		return operator{boolEquals, false}, true
	case "IpAddress":
		return operator{inNetwork, false}, true
	case "NotIpAddress":
		return operator{inNetwork, true}, true
	}
	if rest, ok := strings.CutPrefix(name, "Numeric"); ok {
		return ordered(rest, number, (*big.Rat).Cmp)
	}
	if rest, ok := strings.CutPrefix(name, "Date"); ok {
		return ordered(rest, date, time.Time.Compare)
	}
	return operator{}, false
}

func stringEquals(want string) (test, error) {
	return func(got string) bool { return got == want }, nil
}

func stringEqualsFold(want string) (test, error) {
	return func(got string) bool { return strings.EqualFold(got, want) }, nil
}

func stringLike(want string) (test, error) {
	return func(got string) bool { return match(want, got) }, nil
}

// arnParts is how many parts an ARN has; colons in the last one are its own.
const arnParts = 6

// arnLike compares part by part, as AWS does: a star in one part must not reach into the next.
func arnLike(want string) (test, error) {
	parts := strings.SplitN(want, ":", arnParts)
	if len(parts) != arnParts {
		return nil, fmt.Errorf("%q is not an ARN of six parts", want)
	}
	return func(got string) bool {
		theirs := strings.SplitN(got, ":", arnParts)
		if len(theirs) != arnParts {
			return false
		}
		for i, part := range parts {
			if !match(part, theirs[i]) {
				return false
			}
		}
		return true
	}, nil
}

func boolEquals(want string) (test, error) {
	want = foldASCII(want)
	if want != "true" && want != "false" {
		return nil, fmt.Errorf("%q is neither true nor false", want)
	}
	return func(got string) bool { return got == want }, nil
}

func inNetwork(want string) (test, error) {
	p, err := netip.ParsePrefix(want)
	if err != nil {
		addr, err := netip.ParseAddr(want)
		if err != nil || addr.Zone() != "" {
			return nil, fmt.Errorf("%q is neither an IP address nor a network", want)
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Addr().Is4In6() {
		return nil, fmt.Errorf("%q: write IPv4 networks in IPv4 form", want)
	}
	p = p.Masked()
	return func(got string) bool {
		addr, err := netip.ParseAddr(got)
		// A mapped address is the IPv4 address it carries, else ::ffff:… would slip past a Deny.
		return err == nil && p.Contains(addr.Unmap().WithZone(""))
	}, nil
}

func ordered[T any](name string, read func(string) (T, error), compare func(T, T) int) (operator, bool) {
	var fits func(int) bool
	switch name {
	case "Equals", "NotEquals":
		fits = func(c int) bool { return c == 0 }
	case "LessThan":
		fits = func(c int) bool { return c < 0 }
	case "LessThanEquals":
		fits = func(c int) bool { return c <= 0 }
	case "GreaterThan":
		fits = func(c int) bool { return c > 0 }
	case "GreaterThanEquals":
		fits = func(c int) bool { return c >= 0 }
	default:
		return operator{}, false
	}
	return operator{func(text string) (test, error) {
		want, err := read(text)
		if err != nil {
			return nil, err
		}
		return func(text string) bool {
			got, err := read(text)
			return err == nil && fits(compare(got, want))
		}, nil
	}, name == "NotEquals"}, true
}

// number reads a decimal without an exponent: 1e999999 would fill the memory.
func number(s string) (*big.Rat, error) {
	if len(s) <= 40 && strings.Trim(s, "0123456789.-") == "" {
		if r, ok := new(big.Rat).SetString(s); ok {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%q is not a number", s)
}

// date reads the forms of ISO 8601 that policies use, or seconds since 1970.
func date(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) > 4 {
		return time.Unix(n, 0), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date such as 2026-12-31T23:59:59Z", s)
}

func parseConditions(v any) ([]condition, error) {
	block, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("Condition is not a JSON object")
	}
	var all []condition
	for _, op := range block {
		keys, ok := op.value.(object)
		if !ok {
			return nil, fmt.Errorf("Condition %s is not a JSON object", op.name)
		}
		for _, key := range keys {
			c, err := parseCondition(op.name, key)
			if err != nil {
				return nil, fmt.Errorf("Condition %s %s: %w", op.name, key.name, err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func parseCondition(name string, m member) (condition, error) {
	c := condition{key: foldASCII(m.name)}
	if !knownKey(c.key) {
		return c, fmt.Errorf("this condition key is not supported")
	}
	values, err := conditionValues(m.value)
	if err != nil {
		return c, err
	}
	if name == "Null" {
		return nullCondition(c, values)
	}
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		name, c.over = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		name, c.over = rest, forAnyValue
	}
	// ForAllValues holds where a key is missing, which with a key of one value is never what is meant; and an operator
	// without a set would have to choose one of many values.
	if (c.key == KeyTagKeys) != (c.over != oneValue) {
		return c, fmt.Errorf("ForAllValues: and ForAnyValue: go with aws:TagKeys, and only with it")
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	op, ok := operators(name)
	if !ok {
		return c, fmt.Errorf("this operator is not supported")
	}
	c.negated = op.negated
	for _, v := range values {
		t, err := op.make(v)
		if err != nil {
			return c, err
		}
		c.tests = append(c.tests, t)
	}
	return c, nil
}

func nullCondition(c condition, values []string) (condition, error) {
	switch {
	case len(values) == 1 && foldASCII(values[0]) == "true":
		c.wantNull = 1
	case len(values) == 1 && foldASCII(values[0]) == "false":
		c.wantNull = 2
	default:
		return c, fmt.Errorf("Null takes one value, true or false")
	}
	return c, nil
}

// conditionValues reads one string, number or boolean, or a list of at least one.
func conditionValues(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no value")
	}
	texts := make([]string, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case string:
			texts[i] = v
		case json.Number:
			texts[i] = v.String()
		case bool:
			texts[i] = strconv.FormatBool(v)
		default:
			return nil, fmt.Errorf("a value is neither a string nor a number nor a boolean")
		}
		if strings.Contains(texts[i], "${") {
			return nil, fmt.Errorf("%q: policy variables are not supported", texts[i])
		}
	}
	return texts, nil
}
