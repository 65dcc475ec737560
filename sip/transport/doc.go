// Package transport carries SIP messages over UDP, TCP and TLS (RFC 3261 §18, RFC 3581).
//
// A [Transport] listens and dials; whatever it receives it hands to a [Handler] together with
// the [Flow] it came on. A flow is a small comparable value, one way to reach one peer: a UDP
// socket and a remote address, or one connection. Answers go back over the flow of the request,
// and nothing is remembered about a UDP peer, so spoofed sources cannot make anything grow.
//
// Sending never waits for a peer: what a connection's socket does not take at once is queued up
// to a bound, and a peer that lets the queue fill or stands still is disconnected. Every bound
// has a field in [Limits] and a counter in [Stats].
//
// The package resolves no names: callers pass addresses that were already checked.
package transport
