package store

import (
	"testing"

	"carillon/store/storetest"
)

// start opens an embedded store that is closed with the test.
func start(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestEmbeddedStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return start(t, Config{}) })
}
