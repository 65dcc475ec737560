package store

import (
	"testing"

	"carillon/store/storetest"
	"carillon/trunk"
)

// BenchmarkDecode is what a restart costs for each connector, with every field set and three sealed secrets.
func BenchmarkDecode(b *testing.B) {
	s := start(b, Config{})
	for name, c := range map[string]*trunk.Connector{"full": storetest.Connector("c"), "bare": storetest.Samples()[1].(*trunk.Connector)} {
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
