// Package phone is a small SIP user agent with real audio: it places and answers calls over UDP, TCP or TLS, with RTP
// or SDES-SRTP (RFC 3261, RFC 3264, RFC 4568).
//
// It is the far end of test calls: it says what it hears and measures what it gets. It knows no connector; it resolves
// no names, so whoever dials gives an address. Encryption is never given up: a call that offered RTP/SAVP and is
// answered with anything else is ended before a packet of audio leaves.
//
// A Phone owns its sockets and goroutines. Handlers of incoming calls run on goroutines of their own and must return
// when the context of their Incoming ends.
package phone
