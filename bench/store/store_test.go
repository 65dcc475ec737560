package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/directory"
	"carillon/store"
	"carillon/store/storetest"
	"carillon/trunk"
)

const (
	writers   = 64
	perWriter = 25
	rounds    = 10
)

// BenchmarkCreates compares, in turns on one store, puts of values as large as a stored connector through the bare
// client with creates through Update, and with creates whose writer waits until a directory has them, as the API does.
func BenchmarkCreates(b *testing.B) {
	s, err := store.Open(b.Context(), store.Config{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var next atomic.Int64
	// A connector as its creation leaves it: what it calls and who may call comes later.
	connector := func() *trunk.Connector {
		c := storetest.Connector(fmt.Sprintf("c%021d", next.Add(1)))
		c.Termination, c.Origination, c.Credentials, c.Settings = nil, nil, nil, trunk.Settings{}
		return c
	}
	sample := connector()
	storetest.Put(b, s, sample)
	stored, err := s.Client().Get(b.Context(), "carillon/e/connector/"+sample.ID)
	if err != nil || len(stored.Kvs) != 1 {
		b.Fatalf("read the stored connector: %v", err)
	}
	value := string(stored.Kvs[0].Value)

	create := func(ctx context.Context) (int64, error) {
		c := connector()
		return s.Update(ctx, func(tx trunk.Tx) error { tx.Create(c); return nil })
	}
	bare := func(ctx context.Context) error {
		_, err := s.Client().Put(ctx, fmt.Sprintf("bare/%021d", next.Add(1)), value)
		return err
	}
	through := func(ctx context.Context) error { _, err := create(ctx); return err }
	d := directory.New(directory.Config{})
	awaited := func(ctx context.Context) error {
		revision, err := create(ctx)
		if err != nil {
			return err
		}
		return d.Await(ctx, revision)
	}
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		var alone, followed [2]float64
		for range rounds {
			alone[0] += rate(b, bare)
			alone[1] += rate(b, through)
		}
		ended := make(chan error, 1)
		go func() { ended <- d.Follow(ctx, s) }()
		// The list of what was written before is not part of the figure.
		if err := d.Await(ctx, storetest.Put(b, s, connector())); err != nil {
			b.Fatal(err)
		}
		for range rounds {
			followed[0] += rate(b, bare)
			followed[1] += rate(b, awaited)
		}
		cancel()
		<-ended
		b.ReportMetric(alone[0]/rounds, "bare-puts/s")
		b.ReportMetric(alone[1]/rounds, "creates/s")
		b.ReportMetric(followed[1]/rounds, "creates-awaited/s")
		b.ReportMetric(alone[1]/alone[0], "ratio")
		b.ReportMetric(followed[1]/followed[0], "ratio-awaited")
		b.ReportMetric(float64(len(value)), "B/value")
	}
}

// rate returns how many writes a second all writers together are answered.
func rate(b *testing.B, write func(context.Context) error) float64 {
	b.Helper()
	var all sync.WaitGroup
	begin := time.Now()
	for range writers {
		all.Go(func() {
			for range perWriter {
				if err := write(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return writers * perWriter / time.Since(begin).Seconds()
}
