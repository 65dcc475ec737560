package party

// The addresses of a run on the loopback interface.
const (
	NodeHost   = "127.0.0.10"
	CallerHost = "127.0.0.20"
	CalleeHost = "127.0.0.30"
)

// Hosts are the addresses of a run. Each party has one of its own, so that rules about sources are really asked.
type Hosts struct {
	Node, Caller, Callee string
	// Control is where the node has its API, its metrics and its DNS server.
	Control string
}

// Loopback are the hosts of a run on the loopback interface.
func Loopback() Hosts {
	return Hosts{Node: NodeHost, Caller: CallerHost, Callee: CalleeHost, Control: "127.0.0.1"}
}
