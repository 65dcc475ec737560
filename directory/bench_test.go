package directory

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"testing"

	"carillon/trunk"
)

// full is a connector of usual size: a termination with two networks, two routes, one credential.
func full(n int) *trunk.Connector {
	c := usual(n)
	c.NetworkType = trunk.IPv4Only
	c.Termination = &trunk.Termination{
		CallingRegions: []string{"US", "CA"}, CpsLimit: 5,
		CidrAllowedList: []trunk.CIDR{
			{Text: fmt.Sprintf("203.0.%d.0/24", n%256), Prefix: netip.MustParsePrefix("203.0.113.0/24")},
			{Text: fmt.Sprintf("198.51.%d.0/24", n%256), Prefix: netip.MustParsePrefix("198.51.100.0/24")},
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

// spread returns ids as random as real ones: 22 letters and digits with no common beginnings.
func spread(n int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	id := make([]byte, 22)
	for i := range id {
		id[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[int(sum[i])%36]
	}
	return string(id)
}

// usual is a connector as its creation leaves it.
func usual(n int) *trunk.Connector {
	c := connector(n, fmt.Sprintf("%012d", n%1000))
	c.ID = spread(n)
	c.HostName = c.ID + ".voiceconnector.example.test"
	return c
}

func filled(b *testing.B, total int, make func(int) *trunk.Connector) *Directory {
	b.Helper()
	d := New(Config{})
	for from := 0; from < total; from += 1000 {
		c := trunk.Change{Revision: 1, Reset: from == 0, Partial: from+1000 < total}
		for n := from; n < min(from+1000, total); n++ {
			c.Put = append(c.Put, make(n))
		}
		if err := d.apply(c); err != nil {
			b.Fatal(err)
		}
	}
	return d
}

var sizes = [...]int{10, 1_000, 100_000}

// BenchmarkApply is the cost of one change of one connector.
func BenchmarkApply(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := filled(b, size, usual)
			changed := make([]trunk.Entity, min(size, 1000))
			for i := range changed {
				changed[i] = usual(i * 7919 % size)
			}
			b.ReportAllocs()
			revision := int64(1)
			for b.Loop() {
				revision++
				if err := d.apply(trunk.Change{Revision: revision, Put: changed[revision%int64(len(changed)):][:1]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConnectorByHost is the first question about every INVITE.
func BenchmarkConnectorByHost(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := filled(b, size, usual).Snapshot()
			hosts := make([]string, size)
			for n := range hosts {
				hosts[n] = usual(n).HostName
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if _, ok := s.ConnectorByHost(hosts[i*7919%size]); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkMemory reports what a connector costs: the entity itself and, apart, the indexes over it.
func BenchmarkMemory(b *testing.B) {
	const size = 100_000
	for b.Loop() {
		before := heapBytes()
		entities := make([]*trunk.Connector, size)
		for n := range entities {
			entities[n] = full(n)
		}
		alone := heapBytes()
		d := filled(b, size, func(n int) *trunk.Connector { return entities[n] })
		indexed := heapBytes()
		b.ReportMetric(float64(alone-before)/size, "entity-B/connector")
		b.ReportMetric(float64(indexed-alone)/size, "index-B/connector")
		b.ReportMetric(float64(indexed-before)/size, "B/connector")
		runtime.KeepAlive(entities)
		runtime.KeepAlive(d)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkApplyNew is the cost of a connector that is created, and one that is deleted.
func BenchmarkApplyNew(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := filled(b, size, usual)
			fresh := make([]trunk.Entity, 1000)
			for i := range fresh {
				fresh[i] = usual(size + i)
			}
			b.ReportAllocs()
			revision := int64(1)
			for b.Loop() {
				e := fresh[revision/2%1000]
				for _, c := range [...]trunk.Change{{Put: []trunk.Entity{e}}, {Deleted: []trunk.EntityKey{e.EntityKey()}}} {
					revision++
					c.Revision = revision
					if err := d.apply(c); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
