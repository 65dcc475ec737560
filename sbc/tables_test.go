package sbc

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/siptest"
)

// Every reason is in exactly one of the two tables, each row can be sent, and none promises what it lacks.
func TestTablesAreTotal(t *testing.T) {
	for _, r := range call.Reasons() {
		refusing, isRefusal := rejections[r]
		ending, isEnding := endings[r]
		if isRefusal == isEnding {
			t.Errorf("%v is in %v of rejections and %v of endings, want one", r, isRefusal, isEnding)
		}
		row := refusing
		if isEnding {
			row = ending
		}
		if row.status < 400 || row.status > 699 {
			t.Errorf("%v would be answered with %d", r, row.status)
		}
		if row.sentence == "" || strings.Count(row.sentence, "%") > 1 || strings.Contains(row.fix, "%") {
			t.Errorf("%v says %q, %q", r, row.sentence, row.fix)
		}
		if isRefusal && row.fix == "" {
			t.Errorf("%v does not say what changes it", r)
		}
		if row.warn != 0 && (row.warn < 300 || row.warn > 399) {
			t.Errorf("%v warns with %d", r, row.warn)
		}
		if row.retry && row.status != 503 {
			t.Errorf("%v has Retry-After in a %d", r, row.status)
		}
	}
	if len(rejections)+len(endings) != len(call.Reasons()) {
		t.Error("a table has a row for no reason")
	}
}

// deadRows are those that something not built yet will use.
var deadRows = []string{}

// A row that no code refuses with is a promise nobody keeps. Reasons of the media plane are used there.
func TestNoRowIsDead(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range []string{".", "../routing", "../media"} {
		packages, err := parser.ParseDir(token.NewFileSet(), dir, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			for name, f := range p.Files {
				if !strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, "reject.go") {
					ast.Inspect(f, func(n ast.Node) bool {
						if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(id.Name, "Reason") {
							used[id.Name] = true
						}
						return true
					})
				}
			}
		}
	}
	for _, r := range call.Reasons() {
		name := "Reason" + camel(r.String())
		if dead := slices.Contains(deadRows, name); used[name] == dead {
			t.Errorf("%s: used %v, known to be dead %v", name, used[name], dead)
		}
	}
}

func camel(s string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(s, "_") {
		switch part {
		case "id":
			b.WriteString("ID")
		case "cps", "sips", "tls":
			b.WriteString(strings.ToUpper(part))
		default:
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

func TestVerdictHeaders(t *testing.T) {
	v := judge(call.Refuse(call.ReasonNoRoute, "say \"hi\" \\ and\r\nleave"))
	if got, want := v.reasonHeader(), `Q.850;cause=3;text="Nothing leads to the number. Say \"hi\" \\ and  leave."`; got != want {
		t.Errorf("Reason: %s, want %s", got, want)
	}
	if got, want := v.warningHeader("node"), `399 node "Nothing leads to the number. Say \"hi\" \\ and  leave. Add `; !strings.HasPrefix(got, want) {
		t.Errorf("Warning: %s, want %s", got, want)
	}
	if v := judge(call.Refuse(call.ReasonCredentialsRequired, "")); v.reasonHeader() != "" || v.warningHeader("node") != "" {
		t.Error("a challenge explains itself")
	}
}

func TestCauseOf(t *testing.T) {
	for value, want := range map[string]string{
		"Q.850;cause=16;text=\"bye\"":   "Q.850;cause=16",
		"SIP ; cause=480":               "SIP;cause=480",
		"SIP;text=\"10.0.0.1\"":         "",
		"X;cause=1":                     "",
		"SIP;cause=99999999":            "",
		"SIP;cause=-1":                  "",
		"Q.850;text=\"a;cause=1\"":      "",
		"":                              "",
		"Q.850;CAUSE=17;text=\"x\",SIP": "Q.850;cause=17",
	} {
		m := new(sip.Message)
		if err := m.Parse([]byte("BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nMax-Forwards: 1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\nReason: " +
			value + "\r\nContent-Length: 0\r\n\r\n")); err != nil {
			t.Fatal(value, err)
		}
		if got := causeOf(m); got != want {
			t.Errorf("causeOf(%q) = %q, want %q", value, got, want)
		}
	}
}

func TestEscapeUser(t *testing.T) {
	for user, want := range map[string]string{
		"+12065550100": "+12065550100", "a@b": "a%40b", "a;b=c": "a%3Bb=c", "a%41": "a%2541", "?#\"<> \r\n": "%3F%23%22%3C%3E%20%0D%0A", "\xff": "%FF",
	} {
		got := escapeUser(user)
		if got != want {
			t.Errorf("escapeUser(%q) = %q, want %q", user, got, want)
		}
		uri, err := sip.ParseURI([]byte("sip:" + got + "@example.com"))
		if err != nil || string(sip.Unescape(nil, uri.User)) != user || string(uri.Host) != "example.com" {
			t.Errorf("%q reads back as %q at %q: %v", user, uri.User, uri.Host, err)
		}
	}
}

func TestFailuresAreBoundedAndForgotten(t *testing.T) {
	var f failures
	now := time.Unix(1000, 0)
	f.add("a", now, time.Second)
	if !f.failed("a", now) || f.failed("a", now.Add(time.Second)) || f.failed("b", now) {
		t.Error("a failure lasts as long as it was told to")
	}
	f.forget("a")
	if f.failed("a", now) {
		t.Error("a failure was not forgotten")
	}
	for i := range maxFailures + 10 {
		f.add(fmt.Sprint(i), now, time.Minute+time.Duration(i))
	}
	if len(f.by) != maxFailures || f.failed("0", now) || !f.failed(fmt.Sprint(maxFailures), now) {
		t.Errorf("%d failures are remembered, want %d, the latest of all", len(f.by), maxFailures)
	}
}

func TestMailboxIsBounded(t *testing.T) {
	m := mailbox{busy: true}
	for i := range maxMailbox + 1 {
		if took := m.put(event{kind: evRequest}); took != (i < maxMailbox) {
			t.Fatalf("request %d was taken: %v", i, took)
		}
	}
	ringing := siptest.Parse(t, siptest.Response(t, siptest.Request{}.Message(t), 180, "x"))
	answered := siptest.Parse(t, siptest.Response(t, siptest.Request{}.Message(t), 200, "x"))
	for _, e := range []event{{kind: evAck}, {kind: evRepeated}, {kind: evResponse, msg: ringing}, {kind: evResponse, msg: ringing, again: true}, {kind: evResponse, msg: answered, again: true}} {
		if m.put(e) {
			t.Errorf("event %d was taken, which a peer can send any number of", e.kind)
		}
	}
	if !m.put(event{kind: evAnswered}) {
		t.Error("an answer to something the call began was refused")
	}
	if !m.put(event{kind: evResponse, msg: answered}) {
		t.Error("the first final answer was refused")
	}
	n := 0
	for ; n <= maxMailbox+2; n++ { // the last one finds nothing and closes it
		if _, ok := m.take(true); !ok {
			break
		}
	}
	if n != maxMailbox+2 || m.put(event{kind: evAnswered}) {
		t.Errorf("%d events were left, or one was taken after", n)
	}
}

// A timer that was stopped when its event was on the way does nothing.
func TestStaleTimer(t *testing.T) {
	c := &activeCall{phase: dialling, timers: map[timerName]timer{timerRing: {number: 2}}}
	c.onTimer(event{timer: timerRing, number: 1}) // it would give a target up, and there is none
	c.onTimer(event{timer: timerDuration, number: 1})
	if len(c.timers) != 1 {
		t.Error("the timer of the next target is gone")
	}
}

// Two forks of an INVITE that pass admission at the same time are one call.
func TestEnterOnce(t *testing.T) {
	s := &Server{dialogs: map[string]*leg{}, merges: map[mergeKey]call.ID{}, live: map[call.ID]*activeCall{}}
	first := &activeCall{id: "1", caller: &leg{tag: "a"}, merge: mergeKey{"call", "tag", 1}}
	second := &activeCall{id: "2", caller: &leg{tag: "b"}, merge: mergeKey{"call", "tag", 1}}
	if a, b := s.enter(first), s.enter(second); a != 0 || b != 482 || len(s.live) != 1 || len(s.dialogs) != 1 {
		t.Errorf("entered with %d and %d", a, b)
	}
	s.stopped = true
	if got := s.enter(&activeCall{id: "3", caller: &leg{tag: "c"}}); got != 503 {
		t.Errorf("entered a stopped server with %d", got)
	}
}
