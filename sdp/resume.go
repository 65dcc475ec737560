package sdp

import (
	"strconv"
	"strings"
)

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

// WithOrigin returns a description whose o= line names another session and version; the rest of that line and all other
// lines stay as they are. One without a readable o= line is returned as it is.
func WithOrigin(description []byte, session, version uint64) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(description)) {
		fields := strings.SplitN(line, " ", 4)
		if strings.HasPrefix(line, "o=") && len(fields) == 4 {
			line = fields[0] + " " + strconv.FormatUint(session, 10) + " " + strconv.FormatUint(version, 10) + " " + fields[3]
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}
