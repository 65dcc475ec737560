package sdp

import "strings"

// Sections returns the m= lines of a description, each as one that is rejected and without its line end; they are joined by
// line feeds. Nothing of addresses, ports or keys is in them.
func Sections(description []byte) string {
	var all []string
	for line := range strings.Lines(string(description)) {
		f := strings.Fields(line)
		if strings.HasPrefix(line, "m=") && len(f) >= 4 {
			all = append(all, f[0]+" 0 "+strings.Join(f[2:], " "))
		}
	}
	return strings.Join(all, "\n")
}

// CountSections returns how many sections Sections has returned.
func CountSections(sections string) int {
	if sections == "" {
		return 0
	}
	return strings.Count(sections, "\n") + 1
}

// WithSections returns an offer that has no fewer sections than the session had before, as RFC 3264 section 8 wants it: those
// that it lacks are added as rejected. sections is what Sections returned for the last description.
func WithSections(offer []byte, sections string) []byte {
	has := CountSections(Sections(offer))
	if has >= CountSections(sections) {
		return offer
	}
	eol := "\n"
	if strings.Contains(string(offer), "\r\n") {
		eol = "\r\n"
	}
	out := []byte(string(offer))
	for _, line := range strings.Split(sections, "\n")[has:] {
		out = append(out, line+eol...)
	}
	return out
}
