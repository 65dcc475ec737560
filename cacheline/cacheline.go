// Package cacheline has the processor bring memory near before it is needed. Between two packets of a stream come those of a
// thousand others, and what the stream needs has left the nearer caches by then. The packet path would find that out line after
// line, and wait for each; asked for ahead, many are on their way at once and the processor goes on with other packets meanwhile.
package cacheline

// Size is what a processor fetches at once, in octets: of amd64 and of most arm64.
const Size = 64
