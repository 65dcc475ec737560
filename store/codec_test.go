package store

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/store/storetest"
	"carillon/trunk"
)

func raw(t *testing.T, s *Store, key trunk.EntityKey) map[string]any {
	t.Helper()
	answer, err := s.client.Get(t.Context(), s.entityKey(key))
	if err != nil || len(answer.Kvs) != 1 {
		t.Fatalf("read raw %v: %v", key, err)
	}
	var form map[string]any
	if err := json.Unmarshal(answer.Kvs[0].Value, &form); err != nil {
		t.Fatal(err)
	}
	return form
}

func putRaw(t *testing.T, s *Store, key trunk.EntityKey, form map[string]any) {
	t.Helper()
	value, err := json.Marshal(form)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(t.Context(), s.entityKey(key), string(value)); err != nil {
		t.Fatal(err)
	}
}

func fetch(s *Store, key trunk.EntityKey) (trunk.Entity, error) {
	var e trunk.Entity
	_, err := s.Update(context.Background(), func(tx trunk.Tx) (err error) {
		e, err = tx.Get(key)
		return err
	})
	return e, err
}

func TestStoredForms(t *testing.T) {
	s := start(t, Config{})
	c := storetest.Connector("form")
	storetest.Put(t, s, c)
	form := raw(t, s, c.EntityKey())
	if form["v"] != float64(formVersion) {
		t.Errorf("the stored version is %v", form["v"])
	}

	form["invented_later"] = map[string]any{"x": 1}
	putRaw(t, s, c.EntityKey(), form)
	if e, err := fetch(s, c.EntityKey()); err != nil || e.(*trunk.Connector).Name != c.Name {
		t.Errorf("a form with a field of a later program gives %v, %v", e, err)
	}
	for _, version := range []any{2, 0, -1, nil} {
		form["v"] = version
		putRaw(t, s, c.EntityKey(), form)
		if e, err := fetch(s, c.EntityKey()); err == nil || !strings.Contains(err.Error(), "another version") {
			t.Errorf("a form of version %v gives %v, %v; want a refusal", version, e, err)
		}
	}
	form["v"] = "x"
	putRaw(t, s, c.EntityKey(), form)
	if _, err := fetch(s, c.EntityKey()); trunk.KindOf(err) != trunk.Internal || err == nil {
		t.Errorf("a damaged form gives %v", err)
	}
	if e, err := fetch(s, trunk.EntityKey{Kind: "invented later", ID: "x"}); e != nil || err != nil {
		t.Errorf("an unknown kind gives %v, %v", e, err)
	}
}

// TestSealedSecretsCannotBeMoved plays somebody who can write to the store and has no key.
func TestSealedSecretsCannotBeMoved(t *testing.T) {
	s := start(t, Config{})
	mine, theirs := storetest.Connector("mine"), storetest.Connector("theirs")
	storetest.Put(t, s, mine, theirs)

	moved := raw(t, s, mine.EntityKey())
	putRaw(t, s, theirs.EntityKey(), moved)
	if _, err := fetch(s, theirs.EntityKey()); err == nil || !strings.Contains(err.Error(), "belongs to another record") {
		t.Errorf("credentials of another connector: %v", err)
	}
	users := raw(t, s, mine.EntityKey())
	list := users["credentials"].([]any)
	list[0].(map[string]any)["user"] = "mallory"
	putRaw(t, s, mine.EntityKey(), users)
	if _, err := fetch(s, mine.EntityKey()); err == nil || !strings.Contains(err.Error(), "belongs to another record") {
		t.Errorf("credentials of another user: %v", err)
	}
	if e := storetest.Get(t, s, trunk.EntityKey{Kind: trunk.KindConnector, ID: "absent"}); e != nil {
		t.Errorf("got %v", e)
	}

	// Followers hear that such a record is gone, so that what it replaced is not in force either.
	ctx := t.Context()
	var seen []trunk.Change
	err := s.Follow(ctx, func(c trunk.Change) error { seen = append(seen, c); return os.ErrClosed })
	if err == nil || len(seen) != 1 || len(seen[0].Put) != 0 || len(seen[0].Deleted) != 2 {
		t.Errorf("a follower was told %+v, %v", seen, err)
	}
	if got := s.Stats().Unreadable; got != 2 {
		t.Errorf("%d unreadable records are counted, want 2", got)
	}
}

func TestSecretsAreNotOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	storetest.Put(t, s, storetest.Samples()...)
	storetest.Put(t, s, &Certificate{Name: "ca", CertPEM: []byte("public part"), Key: trunk.NewSecret("secret-tls-key")})
	if got := storetest.Get(t, s, (&Certificate{Name: "ca"}).EntityKey()).(*Certificate); got.Key.Reveal() != "secret-tls-key" || string(got.CertPEM) != "public part" {
		t.Errorf("the certificate came back as %q", got.CertPEM)
	}
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("secret-")) {
			t.Errorf("%s holds a secret in the clear", path)
		}
		found = found || bytes.Contains(text, []byte("Main trunk"))
		return err
	})
	if err != nil || !found {
		t.Errorf("the data directory was not searched: %v, connector found %v", err, found)
	}
}

func TestExpiringRecordsShareALease(t *testing.T) {
	s := start(t, Config{})
	soon := time.Now().Add(10 * time.Minute)
	for _, key := range []string{"one", "two", "three"} {
		storetest.Put(t, s, &trunk.Dedup{Key: key, ResultID: "r", Expires: soon.Add(time.Second)})
		soon = soon.Add(-time.Second)
	}
	storetest.Put(t, s, &trunk.Dedup{Key: "much later", Expires: soon.Add(time.Hour)})
	leases, err := s.client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 2 {
		t.Fatalf("there are %v leases, %v; want one for three records and one for the fourth", leases, err)
	}
	for _, l := range leases.Leases {
		life, err := s.client.TimeToLive(t.Context(), l.ID, clientv3.WithAttachedKeys())
		if err != nil || life.TTL < 599 || len(life.Keys) != 3 && len(life.Keys) != 1 {
			t.Errorf("lease: %+v, %v", life, err)
		}
		// A lease that ended early, as after a clock that jumped, is replaced.
		if _, err := s.client.Revoke(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Put(t, s, &trunk.Dedup{Key: "much later", Expires: soon.Add(time.Hour)})
	if storetest.Get(t, s, trunk.EntityKey{Kind: trunk.KindDedup, ID: "one"}) != nil {
		t.Error("the record outlived its lease")
	}
}

func FuzzDecode(f *testing.F) {
	s := start(f, Config{})
	for _, e := range storetest.Samples() {
		value, err := encode(e, s.box)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(e.EntityKey().Kind), e.EntityKey().ID, value)
	}
	f.Fuzz(func(t *testing.T, kind, id string, value []byte) {
		e, err := decode(trunk.EntityKey{Kind: trunk.EntityKind(kind), ID: id}, value, s.box)
		if err != nil && e != nil {
			t.Errorf("decode gave both %v and %v", e, err)
		}
		if e != nil {
			if _, err := encode(e, s.box); err != nil {
				t.Errorf("what was read cannot be written: %v", err)
			}
		}
	})
}
