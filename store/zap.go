package store

import (
	"context"
	"log/slog"
	"runtime"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quietZap returns a logger for etcd that passes what matters on to ours. Where etcd means to end the process - a
// disk that fails, a damaged log - it ends only the goroutine that found it and keeps the message in f: calls go on
// without the store, and its callers see Unavailable until it is started again.
func quietZap(logger *slog.Logger, f *fatal) *zap.Logger {
	end := goexit{f}
	return zap.New(core{logger: logger}, zap.WithFatalHook(end), zap.WithPanicHook(end))
}

type goexit struct{ fatal *fatal }

// OnWrite implements zapcore.CheckWriteHook.
func (g goexit) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	if g.fatal != nil {
		message := entry.Message
		for _, field := range fields {
			if err, ok := field.Interface.(error); ok {
				message += ": " + err.Error()
			}
		}
		g.fatal.note(message)
	}
	runtime.Goexit()
}

// newStoreMessage is what etcd calls an error when it looks at a new store before its first commit. It tries again.
const newStoreMessage = "failed to update storage version"

// core writes zap entries to slog. etcd warns of its own close at level error, so that is a warning here.
type core struct {
	logger *slog.Logger
	fields []zapcore.Field
}

// Enabled implements zapcore.LevelEnabler. Warnings of etcd are about clusters and slow disks of its own taste.
func (c core) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	c.fields = append(c.fields[:len(c.fields):len(c.fields)], fields...)
	return c
}

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	switch {
	case e.Level > zapcore.ErrorLevel:
		level = slog.LevelError
	case e.Message == newStoreMessage:
		level = slog.LevelDebug
	}
	object := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(object)
	}
	attrs := make([]slog.Attr, 0, len(object.Fields)+1)
	for name, value := range object.Fields {
		attrs = append(attrs, slog.Any(name, value))
	}
	c.logger.LogAttrs(context.Background(), level, "etcd: "+e.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (core) Sync() error { return nil }
