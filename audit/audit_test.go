package audit_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/audit"
	"carillon/store/storetest"
	"carillon/trunk"
)

// TestNoSecretIsShown: every sample's secrets begin with "secret-"; no entry has that text, nor the placeholder that a
// secret formats itself as, which would mean that one came as far as an encoder.
func TestNoSecretIsShown(t *testing.T) {
	samples, shown := storetest.Samples(), 0
	for _, e := range samples {
		for _, other := range append(samples, nil) {
			if other != nil && reflect.TypeOf(other) != reflect.TypeOf(e) {
				continue
			}
			for _, c := range []audit.Change{audit.Diff(other, e), audit.Diff(e, other)} {
				for _, text := range []string{c.Before, c.After} {
					if strings.Contains(text, "secret-") || strings.Contains(text, "[secret]") {
						t.Errorf("%v shows %s", c.Key, text)
					}
					if text != "" && !json.Valid([]byte(text)) {
						t.Errorf("%v is no JSON: %s", c.Key, text)
					}
					shown += strings.Count(text, "(set)") + strings.Count(text, "(changed)")
				}
			}
		}
	}
	if shown == 0 {
		t.Error("no sample has a secret: this test shows nothing")
	}
}

// unshown are the fields of entities that no entry shows, with the reason.
var unshown = map[string]string{
	"Connector.ID": "key", "Connector.Account": "owner", "Connector.HostName": "follows from id and region",
	"Connector.Created": "time of the entry", "Connector.Updated": "time of the entry", "Connector.Credentials.Realm": "host name",
	"PhoneNumber.E164": "key", "PhoneNumber.Created": "time of the entry", "PhoneNumber.Updated": "time of the entry",
	"PhoneNumber.Associated": "time of the entry",
	"Group.ID":               "key", "Group.Account": "owner", "Group.Created": "time of the entry", "Group.Updated": "time of the entry",
	"Order.ID": "key", "Order.Account": "owner", "Order.Created": "time of the entry",
	"SIPRule.ID": "key", "SIPRule.Account": "owner", "SIPRule.Created": "time of the entry", "SIPRule.Updated": "time of the entry",
	"AccountSettings.Account": "key", "AccountSettings.CallingNameUpdated": "time of the entry",
	"Carrier.Name": "key", "Quota.Account": "key", "Quota.Name": "key", "Installation.Created": "time of the entry",
	"AccessKey.ID": "key", "AccessKey.Account": "owner", "AccessKey.Created": "time of the entry",
	"Connector.Termination.CidrAllowedList.Prefix": "its text is shown",
}

// TestEveryFieldShows changes each field of each sample in turn: the entry shows it, unless the table says why not. A
// field that is added to the domain fails here until somebody has decided.
func TestEveryFieldShows(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range storetest.Samples() {
		if !audit.Recorded(e.EntityKey().Kind) {
			continue
		}
		name := reflect.TypeOf(e).Elem().Name()
		for _, path := range paths(reflect.TypeOf(e).Elem(), name) {
			changed := reflect.New(reflect.TypeOf(e).Elem())
			changed.Elem().Set(reflect.ValueOf(e).Elem())
			if !alter(changed.Elem(), strings.Split(path, ".")[1:]) {
				continue // the bare sample has no such part
			}
			c := audit.Diff(e, changed.Interface().(trunk.Entity))
			if reason, out := unshown[path]; (c.Before != c.After) == out {
				t.Errorf("a change of %s is shown as %s -> %s, left out is %v (%s)", path, c.Before, c.After, out, reason)
			}
			seen[path] = true
		}
	}
	for path := range unshown {
		if !seen[path] {
			t.Errorf("no sample has %s, which the table names", path)
		}
	}
	for _, kind := range []string{"Connector", "PhoneNumber", "Group", "Order", "SIPRule", "AccountSettings", "Carrier", "Quota", "Installation", "AccessKey"} {
		if !slices.ContainsFunc(slices.Collect(mapKeys(seen)), func(p string) bool { return strings.HasPrefix(p, kind+".") }) {
			t.Errorf("no field of %s was changed", kind)
		}
	}
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// paths lists the fields of a type, through pointers and lists, down to those that hold a value.
func paths(t reflect.Type, at string) (all []string) {
	for f := range t.Fields() {
		if !f.IsExported() {
			return nil
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		name := at + "." + f.Name
		if deeper := []string(nil); inner.Kind() == reflect.Struct {
			if deeper = paths(inner, name); deeper != nil {
				all = append(all, deeper...)
				continue
			}
		}
		all = append(all, name)
	}
	return all
}

// alter changes the field at a path, in copies of what leads there; it reports whether there was one to change.
func alter(v reflect.Value, path []string) bool {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return false
		}
		fresh := reflect.New(v.Type().Elem())
		fresh.Elem().Set(v.Elem())
		v.Set(fresh)
		return alter(fresh.Elem(), path)
	case reflect.Slice:
		if v.Len() == 0 {
			return false
		}
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		v.Set(fresh)
		return alter(fresh.Index(0), path)
	}
	if len(path) > 0 {
		return alter(v.FieldByName(path[0]), path[1:])
	}
	switch value := v.Addr().Interface().(type) {
	case *trunk.Secret:
		*value = trunk.NewSecret(value.Reveal() + "x")
	case *time.Time:
		*value = value.Add(time.Hour)
	case *netip.Prefix:
		*value = netip.PrefixFrom(value.Addr(), value.Bits()-1)
	default:
		change(v)
	}
	return true
}

func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Map:
		fresh := reflect.MakeMap(v.Type())
		fresh.SetMapIndex(reflect.ValueOf("other"), reflect.Zero(v.Type().Elem()))
		v.Set(fresh)
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(v.Uint() + 1)
	default:
		v.SetInt(v.Int() + int64(time.Second))
	}
}
