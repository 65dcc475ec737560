package wire

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Sensitive is a string the models mark as sensitive: passwords, phone numbers, tags. It travels in JSON as it is and
// shows as a placeholder everywhere else, so that printing or logging a request cannot leak it by accident. Convert it
// to a string where the value is needed.
type Sensitive string

// placeholder is what a sensitive value shows as.
const placeholder = "[sensitive]"

// String returns a placeholder.
func (Sensitive) String() string { return placeholder }

// Format writes a placeholder for every verb; %q, %x and %#v would pass String by.
func (Sensitive) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, placeholder)
}

// LogValue returns a placeholder.
func (Sensitive) LogValue() slog.Value { return slog.StringValue(placeholder) }

// redacted is how a structure with sensitive members is logged: a JSON log handler would marshal it and show them.
func redacted(name string) slog.Value { return slog.StringValue(name + placeholder) }

// Timestamp is a moment as AWS writes it: ISO 8601 in UTC with milliseconds, "2019-09-18T20:34:01.352Z". SDKs refuse
// numbers.
type Timestamp time.Time

// timestampLayout always has three digits, also for whole seconds.
const timestampLayout = "2006-01-02T15:04:05.000Z"

// appendTo appends the wire form. Package time writes RFC 3339 three times as fast as a layout of one's own, so that it
// is left to write all but the milliseconds.
func (t Timestamp) appendTo(b []byte) []byte {
	moment := t.Time()
	b = moment.AppendFormat(b, time.RFC3339)
	ms := moment.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// At returns t as an optional member.
func At(t time.Time) *Timestamp { return new(Timestamp(t)) }

// Time returns the moment in UTC.
func (t Timestamp) Time() time.Time { return time.Time(t).UTC() }

// String returns the wire form.
func (t Timestamp) String() string { return t.Time().Format(timestampLayout) }

// MarshalText writes the wire form; encoding/json uses it.
func (t Timestamp) MarshalText() ([]byte, error) {
	return t.appendTo(make([]byte, 0, len(timestampLayout))), nil
}

// UnmarshalText reads any RFC 3339 date and time, as clients do.
func (t *Timestamp) UnmarshalText(text []byte) error {
	moment, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("parse timestamp: %w", err)
	}
	*t = Timestamp(moment)
	return nil
}
