package store

import (
	"testing"
	"time"
)

func TestOpenClose(t *testing.T) {
	start := time.Now()
	s, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("open", time.Since(start))
	start = time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Log("close", time.Since(start))
}
