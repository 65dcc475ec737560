// Command media measures what relayed media cost a Carillon node: processor time of a packet, added latency, loss, memory,
// and how many calls one processor carries. Debian's rtpengine in user space, where it is installed, and a bare forwarder,
// which receives and sends and does nothing else, are measured beside the node in turns, and ratios are printed.
//
//	cd bench && go run ./media                    processor time, latency and loss at one number of calls
//	cd bench && go run ./media -max               the highest number of calls with little loss and latency
//	cd bench && go run ./media -floors LIST       the same beside bare forwarders of several ways to receive and send
//	cd bench && go run ./media -setup             processor time of setting the media of a call up and taking them down
//	cd bench && go run ./media -soak 30m -calls N that nothing grows and nothing is lost
//
// Calls of the node are set up by SIP as an operator's are, those of rtpengine by its ng protocol. A call is two streams of
// 50 packets a second with 160 octets of payload. Every system has processor 1 for itself and the load has processor 0.
// All packets of one side are protected once, under one key and one SSRC: a load that protects each call's packets costs
// more than what it measures. Latency is from before the packet is sent to its arrival at the receiver's socket by the
// kernel's stamp; the packets that come back are authenticated in samples.
package main
