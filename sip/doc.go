// Package sip reads, checks and writes SIP messages (RFC 3261) without allocating.
//
// A [Message] is a set of spans into one read buffer. [Message.Parse] walks the
// buffer once, checks what every element must check before it may act on a
// message (RFC 3261 §8.2, §16.3, §18.3, §25) and leaves every other header as
// text, to be split only when somebody asks. A message that does not pass
// yields a [ParseError] that says which answer a UAS owes, so that the layers
// above need no second opinion on syntax.
//
// [Builder] writes messages by appending to one buffer and refuses values that
// would start a new line. [Framer] cuts a TCP or TLS stream into messages and
// gives the connection up at the first doubt.
//
// The package knows nothing of transports, transactions or the product.
package sip
