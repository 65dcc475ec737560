package api

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"carillon/trunk"
)

const usTermination = `{"Termination":{"CallingRegions":["US"],"CidrAllowedList":["203.0.113.0/27"]}}`

func TestTermination(t *testing.T) {
	n := startNode(t)
	path := "/voice-connectors/" + n.create(t, accountA, true) + "/termination"
	n.do(t, accountA, "GET", path, "").want(t, 404)
	n.do(t, accountA, "DELETE", path, "").want(t, 404)
	n.do(t, accountA, "PUT", path, usTermination).want(t, 200)
	const want = `{"Termination":{"CallingRegions":["US"],"CidrAllowedList":["203.0.113.0/27"],"CpsLimit":1,"Disabled":false}}`
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != want {
		t.Errorf("got %s", got)
	}
	const full = `{"Termination":{"CallingRegions":["US","DE"],"CidrAllowedList":[],"CpsLimit":7,"DefaultPhoneNumber":"+12065550100","Disabled":true}}`
	if got := n.do(t, accountA, "PUT", path, full).want(t, 200).Body; got != full {
		t.Errorf("Put answers %s", got)
	}
	n.do(t, accountA, "DELETE", path, "").want(t, 204)
	n.do(t, accountA, "GET", path, "").want(t, 404)
}

func TestTerminationRefusals(t *testing.T) {
	n := startNode(t)
	n.put(t, &trunk.Quota{Account: accountA, Name: trunk.QuotaCPS, Value: 5})
	path := "/voice-connectors/" + n.create(t, accountA, true) + "/termination"
	before := n.revision(t)
	for _, c := range []struct{ name, body, says string }{
		{"no body", ``, "termination"},
		{"no termination", `{}`, "termination"},
		{"null", `{"Termination":null}`, "termination"},
		{"no regions", `{"Termination":{"CidrAllowedList":["203.0.113.0/27"]}}`, "CallingRegions"},
		{"empty regions", `{"Termination":{"CallingRegions":[]}}`, "CallingRegions"},
		{"no country", `{"Termination":{"CallingRegions":["ZZ"]}}`, "ZZ"},
		{"small letters", `{"Termination":{"CallingRegions":["us"]}}`, "us"},
		{"everybody", `{"Termination":{"CallingRegions":["US"],"CidrAllowedList":["0.0.0.0/0"]}}`, "0.0.0.0/0"},
		{"host bits", `{"Termination":{"CallingRegions":["US"],"CidrAllowedList":["203.0.113.1/27"]}}`, "203.0.113.0/27"},
		{"too many networks", `{"Termination":{"CallingRegions":["US"],"CidrAllowedList":["10.0.0.1/32","10.0.0.2/32","10.0.0.3/32","10.0.0.4/32","10.0.0.5/32","10.0.0.6/32","10.0.0.7/32","10.0.0.8/32","10.0.0.9/32","10.0.0.10/32","10.0.0.11/32"]}}`, "at most 10"},
		{"no calls a second", `{"Termination":{"CallingRegions":["US"],"CpsLimit":0}}`, "cpsLimit"},
		{"above the quota", `{"Termination":{"CallingRegions":["US"],"CpsLimit":6}}`, "CpsLimit"},
		{"CPS as text", `{"Termination":{"CallingRegions":["US"],"CpsLimit":"1"}}`, "Integer"},
		{"bad number", `{"Termination":{"CallingRegions":["US"],"DefaultPhoneNumber":"0123"}}`, "defaultPhoneNumber"},
	} {
		a := n.do(t, accountA, "PUT", path, c.body)
		if a.Status != 400 || a.errorType() != "BadRequestException" || a.text(t, "Code") != "BadRequest" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
		if strings.Contains(a.Body, "0123") {
			t.Errorf("%s: a phone number is echoed: %s", c.name, a.Body)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

func TestCredentials(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	termination, path := "/voice-connectors/"+id+"/termination", "/voice-connectors/"+id+"/termination/credentials"
	one := `{"Credentials":[{"Username":"test1","Password":"pa$$"}]}`
	n.do(t, accountA, "POST", path+"?operation=put", one).want(t, 404)
	n.do(t, accountA, "GET", path, "").want(t, 404)
	n.do(t, accountA, "POST", path+"?operation=delete", `{"Usernames":["test1"]}`).want(t, 404)
	n.do(t, accountA, "PUT", termination, usTermination).want(t, 200)
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != `{"Usernames":[]}` {
		t.Errorf("list before the first: %s", got)
	}
	n.do(t, accountA, "POST", path+"?operation=put", one).want(t, 204)
	n.do(t, accountA, "POST", path+"?operation=put", `{"Credentials":[{"Username":"alice","Password":"x"},{"Username":"test1","Password":"other"}]}`).want(t, 204)
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != `{"Usernames":["alice","test1"]}` {
		t.Errorf("list after a merge: %s", got)
	}
	c, _ := n.directory.Snapshot().Connector(id)
	if got := c.Credentials[1]; got.Realm != c.HostName || len(got.MD5.Reveal()) != 32 || len(got.SHA256.Reveal()) != 64 {
		t.Errorf("stored realm %q, %d and %d digits", got.Realm, len(got.MD5.Reveal()), len(got.SHA256.Reveal()))
	}
	n.do(t, accountA, "POST", path+"?operation=delete", `{"Usernames":["test1","alice","nobody"]}`).want(t, 204)
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != `{"Usernames":[]}` {
		t.Errorf("list after the last: %s", got)
	}
	n.do(t, accountA, "POST", path+"?operation=put", one).want(t, 204)
	n.do(t, accountA, "DELETE", termination, "").want(t, 204)
	n.do(t, accountA, "PUT", termination, usTermination).want(t, 200)
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != `{"Usernames":[]}` {
		t.Errorf("credentials outlived their termination: %s", got)
	}
}

func TestCredentialHashes(t *testing.T) {
	c := &trunk.Connector{HostName: "http-auth@example.org"}
	// RFC 7616 section 3.9.1: user Mufasa, that realm, password "Circle of Life".
	setCredential(c, "Mufasa", "Circle of Life")
	const md5, sha256 = "3d78807defe7de2157e2b0b6573a855f", "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
	if got := c.Credentials[0]; got.MD5.Reveal() != md5 || got.SHA256.Reveal() != sha256 {
		t.Errorf("got %s, %s", got.MD5.Reveal(), got.SHA256.Reveal())
	}
}

func TestCredentialsRefusals(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	path := "/voice-connectors/" + id + "/termination/credentials"
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/termination", usTermination).want(t, 200)
	var ten []string
	for i := range trunk.MaxCredentials {
		ten = append(ten, fmt.Sprintf(`{"Username":"user%d","Password":"x"}`, i))
	}
	n.do(t, accountA, "POST", path+"?operation=put", `{"Credentials":[`+strings.Join(ten, ",")+`]}`).want(t, 204)
	before := n.revision(t)
	for _, c := range []struct{ name, operation, body, says string }{
		{"nothing", "put", `{}`, "1 to 10"},
		{"empty list", "put", `{"Credentials":[]}`, "1 to 10"},
		{"an eleventh", "put", `{"Credentials":[{"Username":"user10","Password":"x"}]}`, "at most 10"},
		{"no password", "put", `{"Credentials":[{"Username":"user1"}]}`, "Password"},
		{"empty password", "put", `{"Credentials":[{"Username":"user1","Password":""}]}`, "Password"},
		{"no user", "put", `{"Credentials":[{"Password":"geheim"}]}`, "Username"},
		{"quote in user", "put", `{"Credentials":[{"Username":"a\"b","Password":"geheim"}]}`, "Username"},
		{"password with a control character", "put", `{"Credentials":[{"Username":"user1","Password":"geheim\n"}]}`, "Password"},
		{"password too long", "put", `{"Credentials":[{"Username":"user1","Password":"` + strings.Repeat("geheim", 22) + `"}]}`, "Password"},
		{"twice", "put", `{"Credentials":[{"Username":"user1","Password":"geheim"},{"Username":"user1","Password":"x"}]}`, "twice"},
		{"password as a number", "put", `{"Credentials":[{"Username":"user1","Password":123456}]}`, "String"},
		{"delete nothing", "delete", `{}`, "usernames"},
		{"delete an empty list", "delete", `{"Usernames":[]}`, "Usernames"},
	} {
		a := n.do(t, accountA, "POST", path+"?operation="+c.operation, c.body)
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
		if strings.Contains(a.Body, "geheim") || strings.Contains(a.Body, "123456") {
			t.Errorf("%s: the password is echoed: %s", c.name, a.Body)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

func TestHealth(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	path := "/voice-connectors/" + id + "/termination/health"
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != `{"TerminationHealth":{}}` {
		t.Errorf("before any OPTIONS: %s", got)
	}
	n.put(t, &trunk.Health{ConnectorID: id, Source: netip.MustParseAddr("203.0.113.9"), Time: n.clock.Now()})
	const want = `{"TerminationHealth":{"Source":"203.0.113.9","Timestamp":"2026-01-01T00:00:00.000Z"}}`
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != want {
		t.Errorf("got %s", got)
	}
}

func TestOrigination(t *testing.T) {
	n := startNode(t)
	for _, c := range []struct {
		name      string
		encrypted bool
		put, want string
	}{
		{"all members", true, `{"Routes":[{"Host":"200.100.12.1","Port":5060,"Protocol":"UDP","Priority":2,"Weight":30}]}`,
			`{"Disabled":false,"Routes":[{"Host":"200.100.12.1","Port":5060,"Priority":2,"Protocol":"UDP","Weight":30}]}`},
		{"host alone, encrypted", true, `{"Routes":[{"Host":"sip.example.com"}]}`,
			`{"Disabled":false,"Routes":[{"Host":"sip.example.com","Priority":1,"Protocol":"TCP","Weight":1}]}`},
		{"host alone, plain", false, `{"Routes":[{"Host":"2001:db8::1","Port":0}],"Disabled":true}`,
			`{"Disabled":true,"Routes":[{"Host":"2001:db8::1","Priority":1,"Protocol":"UDP","Weight":1}]}`},
		{"disabled alone", true, `{"Disabled":true}`, `{"Disabled":true,"Routes":[]}`},
	} {
		path := "/voice-connectors/" + n.create(t, accountA, c.encrypted) + "/origination"
		n.do(t, accountA, "GET", path, "").want(t, 404)
		n.do(t, accountA, "DELETE", path, "").want(t, 404)
		put := n.do(t, accountA, "PUT", path, `{"Origination":`+c.put+`}`).want(t, 200)
		got := n.do(t, accountA, "GET", path, "").want(t, 200)
		if want := `{"Origination":` + c.want + `}`; got.Body != want || put.Body != want {
			t.Errorf("%s:\nput  %s\ngot  %s\nwant %s", c.name, put.Body, got.Body, want)
		}
		n.do(t, accountA, "DELETE", path, "").want(t, 204)
		n.do(t, accountA, "GET", path, "").want(t, 404)
	}
}

func TestOriginationRefusals(t *testing.T) {
	n := startNode(t)
	path := "/voice-connectors/" + n.create(t, accountA, true) + "/origination"
	before := n.revision(t)
	for _, c := range []struct{ name, put, says string }{
		{"nothing", `{}`, "Routes or Disabled"},
		{"no host", `{"Routes":[{"Port":5060}]}`, "Host"},
		{"host with CRLF", `{"Routes":[{"Host":"a\r\nVia: x"}]}`, "Host"},
		{"host with a port", `{"Routes":[{"Host":"a.example:5060"}]}`, "Host"},
		{"port", `{"Routes":[{"Host":"a.example","Port":65536}]}`, "port"},
		{"protocol", `{"Routes":[{"Host":"a.example","Protocol":"TLS"}]}`, "protocol"},
		{"priority", `{"Routes":[{"Host":"a.example","Priority":101}]}`, "priority"},
		{"weight", `{"Routes":[{"Host":"a.example","Weight":0}]}`, "weight"},
		{"too many", `{"Routes":[` + strings.Repeat(`{"Host":"a.example"},`, trunk.MaxRoutes) + `{"Host":"a.example"}]}`, "at most 20"},
	} {
		a := n.do(t, accountA, "PUT", path, `{"Origination":`+c.put+`}`)
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}
