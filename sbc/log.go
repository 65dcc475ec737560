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

// maxNotes bounds the lines about one call of those that its sides can bring about again and again.
const maxNotes = 20

// note writes such a line, and at the bound that it is the last. A side that answers fifty times a second with what cannot be
// used must not fill the disk.
func (c *activeCall) note(text string, args ...any) {
	if c.noted == maxNotes {
		return
	}
	if c.noted++; c.noted == maxNotes {
		args = append(args, "more", "not logged for this call")
	}
	c.log.Info(text, args...)
}
