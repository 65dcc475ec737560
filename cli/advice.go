package cli

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
)

// advice says what to do about the errors of the system that whoever starts a node for the first time meets. It is
// empty for others, and otherwise begins with a blank.
func advice(err error) string {
	var onNetwork *net.OpError
	var onFile *fs.PathError
	switch {
	case errors.As(err, &onNetwork):
		return listenAdvice(err)
	case errors.As(err, &onFile) && errors.Is(err, fs.ErrPermission):
		return " Give --data and --ready-file places that this user may write to."
	}
	return ""
}

func listenAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return " Another program has the port, perhaps another node: stop it, or give this node another port;" +
			" carillon serve --help has the flag of each listener, and port 0 takes a free one."
	case errors.Is(err, syscall.EACCES):
		return " Ports below 1024 are root's: grant CAP_NET_BIND_SERVICE, or give the listener another port, or off, as --dns :5353 or --dns off."
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return " This machine has no such address: behind NAT, listen on the inner one and tell others the outer one" +
			" with --media-advertise and --sip-advertise."
	}
	return ""
}
