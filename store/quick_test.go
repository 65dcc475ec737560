package store

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"carillon/store/storetest"
	"carillon/trunk"
)

// TestConnectorsAreReadQuickly: a member that the quick way does not know would make every start slow.
func TestConnectorsAreReadQuickly(t *testing.T) {
	s := start(t, Config{})
	for _, e := range storetest.Samples() {
		c, ok := e.(*trunk.Connector)
		if !ok {
			continue
		}
		value, err := encode(c, s.box)
		if err != nil {
			t.Fatal(err)
		}
		if !new(storedConnector).quick(value) {
			t.Errorf("not read quickly: %s", value)
		}
	}
}

// FuzzQuick: what is read the quick way is what encoding/json reads.
func FuzzQuick(f *testing.F) {
	s := start(f, Config{})
	for _, e := range storetest.Samples() {
		if c, ok := e.(*trunk.Connector); ok {
			value, err := encode(c, s.box)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(value)
			f.Add([]byte(strings.Replace(string(value), `"name"`, `"Name"`, 1)))
		}
	}
	for _, text := range []string{
		`{}`, `{"v":1}`, `{"v":01}`, `{"v":1,"v":2}`, `{"name":"a\u0041"}`, `{"name":"` + "\xff" + `"}`, `{"tags":null}`, `{"tags":[]}`,
		`{"credentials":[{"md5":"","sha256":null}]}`, `{"termination":null}`, `{"services":{"a":"}\""}}`, `{"settings":{},"x":1}`, `{"v":1} `, ` {"v":1}`,
		`{"termination":{"regions":["US"],"cidrs":[{"text":"10.0.0.0/8","prefix":"10.0.0.0/8"}],"cps":-1}}`, `{"created":"2026-11-23T09:30:15.123Z"}`,
		`{"origination":{"routes":[{"port":65536}]}}`, `{"credentials":[{"md5":"QUJD\n"}]}`, `{"v":1e0}`, `{"settings":null}`, `{"services":null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var quickly, surely storedConnector
		if !quickly.quick(value) {
			return
		}
		if err := json.Unmarshal(value, &surely); err != nil {
			t.Errorf("read quickly, and %v", err)
		} else if !reflect.DeepEqual(quickly, surely) {
			t.Errorf("read quickly as\n%+v, want\n%+v", quickly, surely)
		}
	})
}
