package xdp

// Bounds of a Link. All are fixed.
const (
	// MaxQueues is how many queues of an interface are read. One that has more is refused at the start; ethtool -L makes
	// them fewer.
	MaxQueues = 16
	// MaxWaiting is how many frames wait to be fetched, shared out among the queues of the interface, of which each has at
	// least 2,048; a power of two. It is what 1,600 calls send in 100 ms, for which other work may hold up the relay. What
	// comes beyond is counted in carillon_media_xdp_lost_total.
	MaxWaiting = 16384
	// MaxLeaving is how many frames are on their way out; a power of two. What should leave beyond goes through its socket.
	MaxLeaving = 2048
	// MaxTurn is how many datagrams the relay is handed at once, at most.
	MaxTurn = 64
	// MaxFrame is the longest frame taken, in octets: one of Ethernet with its usual MTU of 1,500. Longer ones go through the
	// kernel. The rest of a frame's memory, up to 2,048 octets, is for whoever makes the datagram longer, as SRTP does.
	MaxFrame = 1514
	// MaxHops is how many destinations are known at once, carillon_media_xdp_destinations; a power of two. Of two that fall
	// on one place the first has it as long as it is sent to, and the other's datagrams go through their sockets.
	MaxHops = 8192
)
