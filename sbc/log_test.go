package sbc

import (
	"bytes"
	"log/slog"
	"testing"
)

// A call's log writes what slog's own With would.
func TestLogOfACall(t *testing.T) {
	var got, want bytes.Buffer
	plain := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	for b, l := range map[*bytes.Buffer]*slog.Logger{
		&got:  logOf(slog.New(slog.NewTextHandler(&got, plain)), "c1", "vc1"),
		&want: slog.New(slog.NewTextHandler(&want, plain)).With("call", "c1", "connector", "vc1"),
	} {
		l.Info("call ended", "status", 200)
		l.Debug("not written")
		l.With("leg", 2).WithGroup("g").Warn("odd", "x", 1)
		l.WithGroup("g").Warn("odd", "x", 1)
		if b.Len() == 0 {
			t.Error("nothing was written")
		}
	}
	if got.String() != want.String() {
		t.Errorf("got\n%swant\n%s", &got, &want)
	}
}
