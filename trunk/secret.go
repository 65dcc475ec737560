package trunk

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Secret is text that must not be printed: formatting, logging and JSON all show a placeholder. Only Reveal gives
// it away, so every place that can leak one is found by searching for that word.
type Secret struct{ text string }

const redacted = "[secret]"

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no text.
func (s Secret) Empty() bool { return s.text == "" }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.text), []byte(t.text)) == 1
}

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// Format writes a placeholder for every verb; %d, for one, would pass String by.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder: a secret that reaches an encoder by mistake must not reach a disk or a client.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
