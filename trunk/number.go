package trunk

import "strings"

// Number is a phone number in E.164 with its plus sign, for example "+12065550100". The zero value is no number.
type Number string

// ParseNumber reads a number in E.164: an optional plus sign, then 2 to 15 digits of which the first is not 0
// (ITU-T E.164 section 6). Anything else, also separators, is refused: what is compared must be spelled one way.
func ParseNumber(s string) (Number, bool) {
	digits := strings.TrimPrefix(s, "+")
	if len(digits) < 2 || len(digits) > 15 || digits[0] == '0' {
		return "", false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return "", false
		}
	}
	return Number("+" + digits), true
}

// ParseDialled reads a number as a caller must dial it: in E.164 with the plus sign.
func ParseDialled(s string) (Number, bool) {
	if !strings.HasPrefix(s, "+") {
		return "", false
	}
	return ParseNumber(s)
}
