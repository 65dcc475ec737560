package sdp

import "strings"

// Resumed returns a description with every section open in both directions: what its side would offer if nobody had put
// it on hold (RFC 3264 section 8.4). All else stays as it is, byte for byte.
func Resumed(description []byte) []byte {
	var b strings.Builder
	b.Grow(len(description))
	for line := range strings.Lines(string(description)) {
		text := strings.TrimRight(line, "\r\n")
		switch text {
		case "a=sendonly", "a=recvonly", "a=inactive":
			b.WriteString("a=sendrecv" + line[len(text):])
		default:
			b.WriteString(line)
		}
	}
	return []byte(b.String())
}
