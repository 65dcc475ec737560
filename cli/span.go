package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// span is a length of time as people write it: 90s, 1h30m, and days, 7d.
type span time.Duration

// UnmarshalText reads a number of days, a duration of Go's, or one after the other.
func (s *span) UnmarshalText(text []byte) error {
	const day = 24 * time.Hour
	const mostDays = 100_000 // far below what overflows
	rest, total := string(text), time.Duration(0)
	if days, more, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > mostDays {
			return notSpan(text)
		}
		rest, total = more, time.Duration(n)*day
		if rest == "" {
			*s = span(total)
			return nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || total > 0 && (d < 0 || total+d < total) {
		return notSpan(text)
	}
	*s = span(total + d)
	return nil
}

func notSpan(text []byte) error {
	return fmt.Errorf("%q is no length of time such as 90s, 1h30m or 7d", text)
}
