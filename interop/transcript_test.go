package interop

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hole is something that differs from run to run.
type hole struct {
	name string
	is   *regexp.Regexp
	// bound: each value is told from the others, by the order in which they first appear.
	bound bool
	// by replaces a value of a hole that is not bound.
	by string
}

// holes are tried in this order.
func holes() []hole {
	return []hole{
		{name: "call", is: regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), bound: true},
		{name: "time", is: regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)`), by: "<time>"},
		{name: "connector", is: regexp.MustCompile(`\b[0-9a-z]{22}\b`), bound: true},
		{name: "key", is: regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`), bound: true},
		{name: "account", is: regexp.MustCompile(`\b\d{12}\b`), bound: true},
		{name: "folder", is: regexp.MustCompile(`/tmp/carillon-\d+\b`), by: "<folder>"},
		{name: "port", is: regexp.MustCompile(`\b127\.0\.0\.1:\d+\b`), by: "127.0.0.1:<port>"},
		{name: "SIP port", is: regexp.MustCompile(`\bport \d+\b`), by: "port <port>"},
		{name: "packets", is: regexp.MustCompile(`\b\d+ (sent|received|packets|protected|unprotected)\b`), by: "<n> $1"},
		{name: "duration", is: regexp.MustCompile(`\b\d+(\.\d+)?( ?ms|s|µs)\b`), by: "<duration>"},
		{name: "MOS", is: regexp.MustCompile(`^mos +\d\.\d$`), by: "mos <n>"},
	}
}

var blanks = regexp.MustCompile(` +`)

// transcript remembers the bound values of one side, by hole in the order of their appearance.
type transcript map[string][]string

// lines returns a text with holes, line by line, columns of any width and without blank lines at its end.
func (r *transcript) lines(text string) []string {
	if *r == nil {
		*r = transcript{}
	}
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range all {
		for _, h := range holes() {
			if !h.bound {
				line = h.is.ReplaceAllString(line, h.by)
				continue
			}
			line = h.is.ReplaceAllStringFunc(line, func(value string) string {
				at := slices.Index((*r)[h.name], value)
				if at < 0 {
					at = len((*r)[h.name])
					(*r)[h.name] = append((*r)[h.name], value)
				}
				return fmt.Sprintf("<%s %d>", h.name, at+1)
			})
		}
		all[i] = strings.TrimSpace(blanks.ReplaceAllString(line, " "))
	}
	return all
}

// insteadOf puts this side's values in place of the other side's in a command.
func (r transcript) insteadOf(other transcript, command string) string {
	for name, values := range other {
		for i, v := range values {
			if i < len(r[name]) {
				command = strings.ReplaceAll(command, v, r[name][i])
			}
		}
	}
	return command
}

// TestTranscript: a comparison that lets everything through would make every page true.
func TestTranscript(t *testing.T) {
	const a, b = "abcdefghij0123456789kl", "zyxwvutsrq9876543210zy"
	for _, tt := range []struct {
		page, real string
		same       bool
	}{
		{"id " + a, "id " + b, true},
		{"id " + a + " again " + a, "id " + b + " again " + b, true},
		{"id " + a + " again " + a, "id " + b + " again " + a, false},
		{"id " + a + " other " + b, "id " + b + " other " + b, false},
		{"status      200 OK, after 5ms", "status  200 OK, after 1.02s", true},
		{"status 200 OK", "status 403 Forbidden", false},
		{"151 sent, 150 received, 0 lost", "149 sent, 149 received, 0 lost", true},
		{"151 sent, 150 received, 0 lost", "151 sent, 150 received, 3 lost", false},
		{"mos 4.4", "mos 4.3", true},
		{"one\n...\nlast", "one\ntwo\nthree\nlast", true},
		{"one\n...\nlast", "one\ntwo\nthree", false},
		{"one\n...\nlast", "one", false},
		{"one", "one\ntwo", false},
		{"one\ntwo", "one", false},
		{"at 127.0.0.1:8080", "at 127.0.0.1:40001", true},
		{"at 127.0.0.1:8080", "at 192.0.2.1:8080", false},
		{"2026-01-01T00:00:00Z", "2027-02-03T04:05:06Z", true},
		{"2026-01-01T00:00:00Z", "never", false},
	} {
		var page, real transcript
		if same := firstDifference(page.lines(tt.page), real.lines(tt.real)) < 0; same != tt.same {
			t.Errorf("%q and %q: same %t, want %t", tt.page, tt.real, same, tt.same)
		}
	}
	page, real := transcript{"connector": {a}}, transcript{"connector": {b}}
	if got := real.insteadOf(page, "set "+a); got != "set "+b {
		t.Errorf("command became %q", got)
	}
}
