// Command media measures what relayed media cost a Carillon node: processor time of a packet, added latency, loss, memory,
// and how many calls one processor carries. Debian's rtpengine in user space, where it is installed, and a bare forwarder,
// which receives and sends and does nothing else, are measured beside the node in turns, and ratios are printed.
//
//	cd bench && go run ./media                    processor time, latency and loss at one number of calls
//	cd bench && go run ./media -max               the highest number of calls with little loss and latency
//	cd bench && go run ./media -floors LIST       the same beside bare forwarders of several ways to receive and send
//	cd bench && go run ./media -setup             processor time of setting the media of a call up and taking them down
//	cd bench && go run ./media -soak 30m -calls N that nothing grows and nothing is lost
//	cd bench && go run ./media -veth              any of these as between two hosts
//	cd bench && go run ./media -veth -xdp         the node with media by AF_XDP, too
//
// Calls of the node are set up by SIP as an operator's are, those of rtpengine by its ng protocol. A call is two streams of
// 50 packets a second with 160 octets of payload. Every system has processor 1 for itself and the load has processor 0.
// All packets of one side are protected once, under one key and one SSRC: a load that protects each call's packets costs
// more than what it measures. Latency is from before the packet is sent to its arrival at the receiver's socket by the
// kernel's stamp; the packets that come back are authenticated in samples.
//
// With more calls than a system's processor carries its time for a packet says little: it can have no more than there is, and what
// is late comes in larger batches. With -both systems may use the load's processor, too, rtpengine with a second thread.
//
// The processor time of a packet is what the kernel charges to the system's threads. What it does in the name of somebody
// else is not in it: a packet that the load sends is taken up to the system's socket, or through its XDP program, in the
// load's time, and one that the system sends up to the load's socket in the system's. The column "host" is the time that
// all processors of the machine were not idle, for each packet that arrived: it has all of this, the load's own work and
// whatever else runs, so that it tells of a system only beside others of the same run.
//
// A load that cannot send as much as it should says so; what it then measures is its own limit and not a system's.
//
// With -veth the load and the systems are in two network namespaces with a pair of veth between them, one queue on each
// end, and addresses of their own; the namespaces have this process's number in their names and are removed at the end.
// There the load sends whole frames, with checksums, through the transmit ring of an AF_XDP socket, for all systems alike:
// from sockets it could send no more than 1,500 calls. It receives from sockets everywhere. What systems send has its
// checksum left to the device, which has nothing to do.
//
// What is printed first is for which memory the kernel grants huge pages (/sys/kernel/mm/transparent_hugepage/enabled): it changes
// figures by some 4 %.
//
// -setup has the node's media plane in this process, whose memory is kept as the node keeps it. Once a node has been up for longer than
// ports rest, calls are given ports that are open, and few are opened and closed: both are measured. What the ends
// write is written before.
//
// Wanted are Linux with two processors, and for the peer Debian's rtpengine-daemon, which is left out where there is none.
// -veth needs root, ip of iproute2 and a kernel with AF_XDP (CONFIG_XDP_SOCKETS); -xdp needs a node that has it. Without root, priorities
// and room in the load's sockets are what the system grants, and latency and loss suffer from other work.
package main
