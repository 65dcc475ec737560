// Command calls measures what calls cost a Carillon node: processor time, memory and goroutines, and how many a second it
// takes. Where Debian's Kamailio and rtpengine are installed it measures these beside the node, in turns, and prints the
// ratio. Caller and callee are its own; everything runs on the loopback interface.
//
//	cd bench && go run ./calls                    calls at one rate over UDP and over TLS with SRTP, and held calls
//	cd bench && go run ./calls -max               the highest rate at which no call fails
//	cd bench && go run ./calls -options           OPTIONS
//
// A call is: INVITE challenged with digest, 180, 200, ACK, BYE after a moment, with descriptions that make the system
// under test reserve ports and, over TLS, agree on SRTP keys. No media is sent. Processor time is user and system time of
// all its processes from the first INVITE to the last BYE.
package main
