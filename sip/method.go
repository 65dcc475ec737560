package sip

// Method is a request method. Methods are case-sensitive (RFC 3261 §7.1).
type Method uint8

// The methods this package tells apart; any other token is MethodUnknown, an
// extension method whose text is in [Message.MethodToken].
const (
	MethodUnknown Method = iota
	Invite               // RFC 3261
	Ack                  // RFC 3261
	Bye                  // RFC 3261
	Cancel               // RFC 3261
	Options              // RFC 3261
	Register             // RFC 3261
	Prack                // RFC 3262
	Update               // RFC 3311
	Info                 // RFC 6086
	Refer                // RFC 3515
	Notify               // RFC 6665
	Subscribe            // RFC 6665
	MessageMethod        // MESSAGE, RFC 3428; not Message, which is the message itself
	Publish              // RFC 3903
	methodCount
)

var methodNames = [methodCount]string{
	"", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK",
	"UPDATE", "INFO", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH",
}

// String returns the token as it stands in a request line, "" for MethodUnknown.
func (m Method) String() string {
	if m >= methodCount {
		return ""
	}
	return methodNames[m]
}

// ParseMethod returns the method with exactly this token, MethodUnknown if none.
func ParseMethod(token []byte) Method {
	var m Method
	if len(token) < 3 {
		return MethodUnknown
	}
	switch token[0] {
	case 'I':
		m = Invite
		if len(token) == 4 {
			m = Info
		}
	case 'A':
		m = Ack
	case 'B':
		m = Bye
	case 'C':
		m = Cancel
	case 'O':
		m = Options
	case 'R':
		m = Register
		if len(token) == 5 {
			m = Refer
		}
	case 'P':
		m = Publish
		if len(token) == 5 {
			m = Prack
		}
	case 'U':
		m = Update
	case 'N':
		m = Notify
	case 'S':
		m = Subscribe
	case 'M':
		m = MessageMethod
	}
	if string(token) != methodNames[m] {
		return MethodUnknown
	}
	return m
}
