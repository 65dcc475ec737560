// Package xdp takes UDP datagrams from a network interface and sends them through it without the kernel's UDP and IP.
//
// A program in the driver's receive path (XDP) looks at each frame and hands those with a datagram for a port in use, at one of
// a few addresses, to a socket of the family AF_XDP, which shares its memory with this process; all others go on to the kernel
// as ever. It is told the ports one at a time, when they come into use and when they leave it. What is sent is a whole frame,
// so this package has to know where a router would send it: it asks the kernel's routes and neighbours, and where these have
// no answer the caller uses an ordinary socket, which makes the kernel find one.
//
// The program and all it holds end with the process, however that ends.
package xdp
