// Package clock tells the time and runs functions later, behind an interface that tests can replace.
//
// Every part of Carillon that waits, expires or stamps takes a Clock, so that a test can move
// through 64*T1 or an hour of call without sleeping, and always sees the same order of events.
package clock

import "time"

// Clock is a source of time. All methods are safe for concurrent use.
type Clock interface {
	// Now returns the current time. Differences of two results are monotonic.
	Now() time.Time
	// AfterFunc calls f once, d after now, on a goroutine of the clock's own choosing.
	// f must not block: a clock may run several due functions one after the other.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending call made by Clock.AfterFunc.
type Timer interface {
	// Stop prevents the call and reports whether it did; false means the call was made,
	// is being made, or was already stopped. Stop does not wait for a running call.
	Stop() bool
	// Reset makes the timer fire d after now and reports whether it had been pending.
	Reset(d time.Duration) bool
}

// System returns the clock of the operating system.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
