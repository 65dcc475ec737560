package sip

// Parse reads one datagram or one framed stream message with the default
// limits. See ParseLimited.
func (m *Message) Parse(b []byte) error { return m.ParseLimited(b, Limits{}) }

// ParseLimited reads one datagram or one framed stream message.
func (m *Message) ParseLimited(b []byte, l Limits) error { return &drops[FaultEmpty] }

// Clone returns a copy with its own memory, which may outlive the read buffer.
func (m *Message) Clone() *Message { return m }
