package sbc

import (
	"context"
	"log/slog"
)

// named writes which call and connector a line is about. The attributes are formatted with the line: for most calls
// there is none.
type named struct {
	slog.Handler
	attrs []slog.Attr
}

// Handle writes a line.
func (h *named) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.WithAttrs(h.attrs).Handle(ctx, r)
}

// WithAttrs and WithGroup are what slog.Handler asks for.
func (h *named) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.Handler.WithAttrs(h.attrs).WithAttrs(attrs)
}

// WithGroup begins a group behind the attributes.
func (h *named) WithGroup(name string) slog.Handler {
	return h.Handler.WithAttrs(h.attrs).WithGroup(name)
}

// logOf returns the log of a call.
func logOf(l *slog.Logger, call, connector string) *slog.Logger {
	return slog.New(&named{l.Handler(), []slog.Attr{slog.String("call", call), slog.String("connector", connector)}})
}
