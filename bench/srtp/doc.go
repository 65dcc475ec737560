// Package srtp measures the SRTP transforms beside pion's.
//
// Both protect and unprotect the same packets in turns, a few dozen at a time, and the medians are compared:
// what else runs on the machine then slows both. go test -bench . ./srtp
package srtp
