package audit_test

import (
	"testing"

	"carillon/audit"
	"carillon/store/storetest"
	"carillon/trunk"
)

// BenchmarkDiff measures what the entry of a create and of a small change costs.
func BenchmarkDiff(b *testing.B) {
	bare := storetest.Samples()[3].(*trunk.Connector)
	full := storetest.Connector("c")
	renamed := full.Clone()
	renamed.Name = "other"
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			audit.Diff(nil, bare)
		}
	})
	b.Run("rename", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			audit.Diff(full, renamed)
		}
	})
}
