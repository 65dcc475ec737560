package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// forwarder receives and sends and does nothing else, in a process of its own: what any relay in user space with a socket
// for each leg costs at least.
type forwarder struct {
	place   place
	floor   string
	cmd     *exec.Cmd
	told    io.WriteCloser
	answers *bufio.Reader
}

// forwardFlag makes this program the forwarder of a floor at a host.
const forwardFlag = "-forward-for-the-load"

func (f *forwarder) name() string { return "bare, " + f.floor }

func (f *forwarder) start(variant) error {
	all, err := f.place.under()
	if err != nil {
		return err
	}
	self := all[len(all)-2]
	f.cmd = exec.Command(all[0], append(all[1:], self, forwardFlag, f.floor, f.place.forwarder)...)
	f.cmd.Stderr = os.Stderr
	if f.told, err = f.cmd.StdinPipe(); err != nil {
		return err
	}
	answers, err := f.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	f.answers = bufio.NewReader(answers)
	return f.cmd.Start()
}

func (f *forwarder) processes() []int { return []int{f.cmd.Process.Pid} }

func (f *forwarder) stop() {
	end(f.cmd)
	f.cmd = nil
}

// call tells the forwarder of the ends. Packets come under the key of the other end, as they were sent.
func (f *forwarder) call(l *load, n int) (fars [2]far, err error) {
	var ends [2]netip.AddrPort
	for side := range ends {
		ends[side], fars[1-side].key = l.end(n, side)
	}
	if _, err := fmt.Fprintf(f.told, "%s %s\n", ends[0], ends[1]); err != nil {
		return fars, err
	}
	line, err := f.answers.ReadString('\n')
	if err != nil {
		return fars, err
	}
	parts := strings.Fields(line)
	if len(parts) != 2 {
		return fars, fmt.Errorf("the forwarder says %q", line)
	}
	for side, text := range parts {
		if fars[side].at, err = netip.ParseAddrPort(text); err != nil {
			return fars, err
		}
	}
	return fars, nil
}

// forward is the forwarder: for each line with the addresses of two ends it opens two sockets and says which.
func forward(floor, host string, in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(2) // the loop keeps one for itself
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	ways, added := make([]way, 1<<17), make(chan int, 1024)
	forwardOver(floor, epoll, added, ways)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var fds [2]int
		var at [2]netip.AddrPort
		for i := range fds {
			if fds[i], at[i], err = bound(host); err != nil {
				return err
			}
		}
		for i, text := range strings.Fields(lines.Text()) {
			to, err := netip.ParseAddrPort(text)
			if err != nil {
				return err
			}
			w := way{sockaddr(to), fds[i], strings.HasSuffix(floor, connectedWord)}
			if w.connected {
				if err := unix.Connect(fds[i], &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
					return err
				}
			}
			ways[fds[1-i]] = w
		}
		for _, fd := range fds {
			if strings.HasPrefix(floor, floorRing) {
				added <- fd
				continue
			}
			event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
			if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(out, at[0], at[1]); err != nil {
			return err
		}
	}
	return nil
}

// bound opens a socket on any port of a host.
func bound(host string) (fd int, at netip.AddrPort, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, at, err
	}
	ip := netip.MustParseAddr(host)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: ip.As4()}); err != nil {
		return 0, at, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, at, err
	}
	return fd, netip.AddrPortFrom(ip, uint16(name.(*unix.SockaddrInet4).Port)), nil
}
