package store

import (
	"testing"

	"carillon/store/storetest"
	"carillon/trunk"
)

// BenchmarkDecode is what a restart costs for each connector, with every field set and three sealed secrets.
func BenchmarkDecode(b *testing.B) {
	s := start(b, Config{})
	for name, c := range map[string]*trunk.Connector{"full": storetest.Connector("c"), "bare": bare()} {
		b.Run(name, func(b *testing.B) {
			value, err := encode(c, s.box)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if _, err := decode(c.EntityKey(), value, s.box); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bare is a connector as its creation leaves it.
func bare() *trunk.Connector {
	c := storetest.Connector("b")
	c.Tags, c.Termination, c.Origination, c.Credentials, c.Services, c.Settings = nil, nil, nil, nil, nil, trunk.Settings{}
	return c
}
