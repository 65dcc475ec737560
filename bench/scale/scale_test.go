package scale

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"carillon/config"
	"carillon/directory"
	"carillon/server/servertest"
	"carillon/store"
	"carillon/trunk"
)

const (
	accounts       = 1000
	perTransaction = 1000
	changes        = 300
)

// full is a connector of usual size: a termination with two networks, two routes, one credential.
func full(id string, n int) *trunk.Connector {
	made := time.UnixMilli(1_790_000_000_000 + int64(n)).UTC()
	c := &trunk.Connector{
		ID: id, Account: fmt.Sprintf("%012d", n%accounts), Name: fmt.Sprintf("connector %d", n), Region: trunk.DefaultRegion,
		HostName: id + ".voiceconnector.example.test", RequireEncryption: true, NetworkType: trunk.IPv4Only, Created: made, Updated: made,
	}
	c.Termination = &trunk.Termination{
		CallingRegions: []string{"US", "CA"}, CpsLimit: 5,
		CidrAllowedList: []trunk.CIDR{
			{Text: fmt.Sprintf("203.0.%d.0/24", n%256), Prefix: netip.MustParsePrefix(fmt.Sprintf("203.0.%d.0/24", n%256))},
			{Text: fmt.Sprintf("198.51.%d.0/24", n%256), Prefix: netip.MustParsePrefix(fmt.Sprintf("198.51.%d.0/24", n%256))},
		},
	}
	c.Origination = &trunk.Origination{Routes: []trunk.Route{
		{Host: fmt.Sprintf("pbx%d.example.test", n), Port: 5061, Protocol: "TCP", Priority: 1, Weight: 1},
		{Host: fmt.Sprintf("spare%d.example.test", n), Port: 5061, Protocol: "TCP", Priority: 2, Weight: 1},
	}}
	c.Credentials = []trunk.Credential{{
		Username: fmt.Sprintf("user%d", n), Realm: c.HostName, MD5: trunk.NewSecret(fmt.Sprintf("%032d", n)), SHA256: trunk.NewSecret(fmt.Sprintf("%064d", n)),
	}}
	return c
}

// BenchmarkScale fills a store, and measures what a node on it costs. The directory's memory is what the process needs
// more once the directory has followed the store; the store's own is its database, which lies beside it on the disk, and
// etcd's index of that.
func BenchmarkScale(b *testing.B) {
	for _, size := range []int{10, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				ids := seed(b, dir, size)
				b.ReportMetric(0, "ns/op")
				measure(b, dir, ids)
				b.ReportMetric(started(b, dir), "node-start-s")
			}
		})
	}
}

func open(b *testing.B, dir string) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), store.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// seed fills a store and closes it.
func seed(b *testing.B, dir string, size int) (ids []string) {
	b.Helper()
	s := open(b, dir)
	for from := 0; from < size; from += perTransaction {
		var batch []trunk.Entity
		for n := from; n < min(from+perTransaction, size); n++ {
			id, err := trunk.NewID(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			ids, batch = append(ids, id), append(batch, full(id, n))
		}
		if _, err := s.Update(b.Context(), func(tx trunk.Tx) error {
			for _, e := range batch {
				tx.Create(e)
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return ids
}

// measure opens the store again, as a restart does, follows it, and asks and changes what is there.
func measure(b *testing.B, dir string, ids []string) {
	before := heap() // of the ids, and of what the store that was closed has not let go yet
	begin, used := time.Now(), processorTime(b)
	s := open(b, dir)
	opened, openedUsing := time.Since(begin), processorTime(b)-used
	inStore := heap()
	d := directory.New(directory.Config{})
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	begin, used = time.Now(), processorTime(b)
	go func() { defer close(done); _ = d.Follow(ctx, s) }()
	if err := d.Await(ctx, 1); err != nil {
		b.Fatal(err)
	}
	complete, completeUsing := time.Since(begin), processorTime(b)-used
	inDirectory := heap()
	if got := d.Snapshot().CountConnectors(""); got != len(ids) {
		b.Fatalf("the directory has %d connectors, want %d", got, len(ids))
	}
	b.ReportMetric((opened + complete).Seconds(), "restart-s")
	b.ReportMetric((openedUsing + completeUsing).Seconds(), "restart-cpu-s")
	b.ReportMetric(float64(inStore-before)/float64(len(ids)), "store-B/connector")
	b.ReportMetric(float64(inDirectory-inStore)/float64(len(ids)), "directory-B/connector")
	b.ReportMetric(float64(size(b, dir))/float64(len(ids)), "disk-B/connector")
	look(b, d.Snapshot(), ids)
	b.ReportMetric(durable(b, s, d, ids), "change-us")
	stop()
	<-done
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(applied(b, d.Snapshot(), ids), "apply-us")
}

// look measures look-ups of connectors by their host names, as for an INVITE, beside those in a map of the same connectors,
// and of one page of an account's list. The median of many short spans leaves out those in which the machine did something
// else.
func look(b *testing.B, s *directory.Snapshot, ids []string) {
	const spans, inSpan, pages = 500, 200, 50
	const domain = ".voiceconnector.example.test"
	hosts := make([]string, inSpan)
	byHost := make(map[string]*trunk.Connector, len(ids))
	for _, id := range ids {
		c, _ := s.Connector(id)
		byHost[c.HostName] = c
	}
	var lookups, inMap, lists []float64
	timed := func(found func(host string) bool) float64 {
		for i := range hosts {
			hosts[i] = ids[mathrand.IntN(len(ids))] + domain
		}
		begin := time.Now()
		for _, host := range hosts {
			if !found(host) {
				b.Fatalf("%s is not there", host)
			}
		}
		return float64(time.Since(begin).Nanoseconds()) / inSpan
	}
	for span := range spans {
		lookups = append(lookups, timed(func(host string) bool { c, ok := s.ConnectorByHost(host); return ok && c.HostName == host }))
		inMap = append(inMap, timed(func(host string) bool { c, ok := byHost[host]; return ok && c.HostName == host }))
		begin := time.Now()
		for n := range pages {
			s.Connectors(fmt.Sprintf("%012d", (span*pages+n)%min(accounts, len(ids))), "", 10)
		}
		lists = append(lists, float64(time.Since(begin).Nanoseconds())/pages/1000)
	}
	b.ReportMetric(median(lookups), "lookup-ns")
	b.ReportMetric(cold(b, s, ids, domain), "cold-ns")
	b.ReportMetric(median(inMap), "map-ns")
	b.ReportMetric(median(lists), "page-us")
}

// cold returns how long a look-up takes where the processor has had other things in its caches since the last one, as
// between two calls, in nanoseconds. A loop of look-ups alone has a small directory in the fastest of them.
func cold(b *testing.B, s *directory.Snapshot, ids []string, domain string) float64 {
	const spans = 200
	others := make([]byte, 128<<20)
	var took []float64
	for span := range spans {
		for i := 0; i < len(others); i += 64 {
			others[i] += byte(span)
		}
		host := ids[mathrand.IntN(len(ids))] + domain
		begin := time.Now()
		c, ok := s.ConnectorByHost(host)
		ok = ok && c.HostName == host
		took = append(took, float64(time.Since(begin).Nanoseconds()))
		if !ok {
			b.Fatalf("%s is not there", host)
		}
	}
	return median(took)
}

// durable returns how long a change of one connector takes until it is on disk and in the snapshot, in microseconds.
func durable(b *testing.B, s *store.Store, d *directory.Directory, ids []string) float64 {
	var took []float64
	for range changes {
		c, _ := d.Snapshot().Connector(ids[mathrand.IntN(len(ids))])
		c = c.Clone()
		c.Updated = c.Updated.Add(time.Millisecond)
		begin := time.Now()
		revision, err := s.Update(b.Context(), func(tx trunk.Tx) error { tx.Put(c); return nil })
		if err == nil {
			err = d.Await(b.Context(), revision)
		}
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, float64(time.Since(begin).Nanoseconds())/1000)
	}
	return median(took)
}

var errEnough = errors.New("enough")

// feed is a directory.Source that tells a complete state and then measures changes of one connector each.
type feed struct {
	connectors []trunk.Entity
	changed    []trunk.Entity
	took       []float64
}

// Follow implements directory.Source.
func (f *feed) Follow(_ context.Context, apply func(trunk.Change) error) error {
	if err := apply(trunk.Change{Revision: 1, Reset: true, Put: f.connectors}); err != nil {
		return err
	}
	f.connectors = nil
	for i, e := range f.changed {
		begin := time.Now()
		if err := apply(trunk.Change{Revision: int64(i) + 2, Put: []trunk.Entity{e}}); err != nil {
			return err
		}
		f.took = append(f.took, float64(time.Since(begin).Nanoseconds())/1000)
	}
	return errEnough
}

// applied returns how long a change of one connector takes in a directory, in microseconds.
func applied(b *testing.B, s *directory.Snapshot, ids []string) float64 {
	f := &feed{}
	for _, id := range ids {
		c, _ := s.Connector(id)
		f.connectors = append(f.connectors, c)
	}
	for range 10 * changes {
		c := f.connectors[mathrand.IntN(len(ids))].(*trunk.Connector).Clone()
		c.Updated = c.Updated.Add(time.Millisecond)
		f.changed = append(f.changed, c)
	}
	if err := directory.New(directory.Config{}).Follow(b.Context(), f); !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	return median(f.took)
}

// started returns how long a whole node takes to start on the directory, in seconds.
func started(b *testing.B, dir string) float64 {
	begin := time.Now()
	servertest.Start(b, func(c *config.Config) { c.Data = dir })
	return time.Since(begin).Seconds()
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// size is what the files of a directory take on the disk.
func size(b *testing.B, dir string) (bytes int64) {
	err := filepath.Walk(filepath.Join(dir, "etcd", "member", "snap"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}
