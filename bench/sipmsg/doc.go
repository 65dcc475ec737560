// Package sipmsg measures the SIP message core beside another Go parser.
//
// Both read the same INVITE in the same run, so that the ratio holds on any
// machine: go test -bench . ./sipmsg
package sipmsg
