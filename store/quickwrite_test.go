package store

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"carillon/audit"
	"carillon/quickjson"
	"carillon/store/storetest"
	"carillon/trunk"
)

// TestCreatesAreWrittenQuickly: a member that the quick way does not know would make every create slow.
func TestCreatesAreWrittenQuickly(t *testing.T) {
	c := &trunk.Connector{
		ID: "abcdef1234567890abcdef", Account: "123456789012", Name: "to the PBX", Region: trunk.DefaultRegion, HostName: "h.example",
		RequireEncryption: true, NetworkType: trunk.IPv4Only, Created: time.UnixMilli(5).UTC(), Updated: time.UnixMilli(6).UTC(),
	}
	e := &audit.Entry{
		Time: time.UnixMilli(5).UTC(), Account: c.Account, RequestID: "6f0b7c1e-0000-4000-8000-000000000001", Action: "chime:CreateVoiceConnector",
		AccessKeyID: "AKIAEXAMPLE000000001", Source: netip.MustParseAddrPort("203.0.113.7:40001"), UserAgent: "aws-cli/2.9.19", Resource: "arn:aws:chime:::vc/*",
	}
	e.Add(audit.Diff(nil, c))
	for _, form := range []quickjson.Appender{connectorForm(c, nil), entryForm(e)} {
		value, ok := form.AppendJSON(nil)
		want, err := slowly(form)
		if err != nil || !ok || !bytes.Equal(value, want) {
			t.Errorf("written quickly: %v\n%s\nwant, %v\n%s", ok, value, err, want)
		}
	}
}

// TestQuickWriting: what is written the quick way is what encoding/json writes.
func TestQuickWriting(t *testing.T) {
	for _, e := range storetest.Samples() {
		if c, ok := e.(*trunk.Connector); ok {
			c = c.Clone()
			c.Credentials = nil
			sameText(t, connectorForm(c, nil))
		}
		if e, ok := e.(*audit.Entry); ok {
			sameText(t, entryForm(e))
		}
	}
	sameText(t, &storedConnector{Created: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)})
}

// FuzzQuickWriting: the same for texts and states that nobody thought of.
func FuzzQuickWriting(f *testing.F) {
	f.Add("name", "agent", `{"name":"a b"}`, `{"a":[1,{"b":null}]}`, int64(1), true)
	f.Add("a<b>&\"\\", "\u2028\xff\x7f", `{"a": 1}`, `{"a":"\u0041"}`, int64(-1), false)
	f.Add("é", "", `{"a":"\""}`, `{"a"`, int64(1<<60), true)
	f.Add("", "\t", ` `, `"`, int64(0), false)
	f.Fuzz(func(t *testing.T, text, other, before, after string, ns int64, flag bool) {
		sameText(t, &storedConnector{
			header: header{formVersion}, Account: other, Name: text, HostName: text, RequireEncryption: flag, IntegrationType: other,
			Created: time.Unix(0, ns).UTC(), Updated: time.Unix(ns, 0).UTC(),
		})
		change := storedChange{Kind: text, ID: other, ARN: text, Before: json.RawMessage(before), After: json.RawMessage(after), Cut: flag}
		address := netip.AddrPort{}
		if flag {
			address = netip.AddrPortFrom(netip.AddrFrom16([16]byte{15: byte(ns)}), uint16(ns))
		}
		sameText(t, &storedEntry{Action: text, Principal: other, Operator: flag, Source: address, UserAgent: other, Changes: []storedChange{change, change}, Omitted: int(int32(ns))})
		if flag {
			change.OwnerAfter = &text
			sameText(t, &storedEntry{Action: text, Changes: []storedChange{change}})
		}
	})
}

// slowly returns what encoding/json makes of a form.
func slowly(form any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(form)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func sameText(t *testing.T, form quickjson.Appender) {
	t.Helper()
	value, ok := form.AppendJSON(nil)
	if !ok {
		return
	}
	if want, err := slowly(form); err != nil {
		t.Errorf("written quickly as\n%s\nand %v", value, err)
	} else if !bytes.Equal(value, want) {
		t.Errorf("written quickly as\n%s\nwant\n%s", value, want)
	}
}
