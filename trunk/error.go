package trunk

import (
	"errors"
	"fmt"
)

// Kind classifies an Error. The zero value is Internal: an error nobody classified is a fault of ours.
type Kind uint8

// The kinds.
const (
	Internal Kind = iota
	Invalid
	NotFound
	Conflict
	Forbidden
	LimitExceeded
	Throttled
	Unavailable

	kindCount
)

// Kinds returns every kind, so that tables over them can be proven total.
func Kinds() []Kind {
	all := make([]Kind, 0, kindCount)
	for k := Internal; k < kindCount; k++ {
		all = append(all, k)
	}
	return all
}

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"internal", "invalid", "not found", "conflict", "forbidden", "limit exceeded", "throttled", "unavailable", "unknown"}[min(k, kindCount)]
}

// Error is an error with a kind. Detail is a plain sentence that a caller of the API may read.
type Error struct {
	Kind   Kind
	Detail string
	// Code refines a Conflict by AWS's ErrorCode, for example "PhoneNumberAssociationsExist"; usually empty.
	Code string
}

// Error returns Detail.
func (e *Error) Error() string { return e.Detail }

// Errorf returns an Error of that kind.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Detail: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err, Internal when it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
