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
	"unsafe"

	"golang.org/x/sys/unix"
)

// forwarder receives and sends and does nothing else, in a process of its own: what any relay in user space with a socket
// for each leg costs at least.
type forwarder struct {
	cmd     *exec.Cmd
	told    io.WriteCloser
	answers *bufio.Reader
}

// forwardFlag makes this program the forwarder.
const forwardFlag = "-forward-for-the-load"

const forwarderHost = "127.0.0.14"

func (f *forwarder) name() string { return "bare forwarder" }

func (f *forwarder) start(variant) error {
	all, err := under()
	if err != nil {
		return err
	}
	f.cmd = exec.Command(all[0], append(all[1:], all[0], forwardFlag)...)
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
func forward(in io.Reader, out io.Writer) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	// The sockets' numbers are what a packet needs: where it goes, and from which socket.
	type way struct {
		to   unix.RawSockaddrInet4
		from int
	}
	ways := make([]way, 1<<17)
	go func() {
		runtime.LockOSThread()
		var events [256]unix.EpollEvent
		var b [2048]byte
		for {
			n, err := unix.EpollWait(epoll, events[:], -1)
			if err != nil && err != unix.EINTR {
				return
			}
			for _, event := range events[:max(n, 0)] {
				w := &ways[event.Fd]
				size, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(event.Fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
				if errno == 0 {
					_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(w.from), uintptr(unsafe.Pointer(&b[0])), size, 0,
						uintptr(unsafe.Pointer(&w.to)), unix.SizeofSockaddrInet4)
				}
			}
		}
	}()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var fds [2]int
		var at [2]netip.AddrPort
		for i := range fds {
			if fds[i], at[i], err = bound(forwarderHost); err != nil {
				return err
			}
		}
		for i, text := range strings.Fields(lines.Text()) {
			to, err := netip.ParseAddrPort(text)
			if err != nil {
				return err
			}
			ways[fds[1-i]] = way{sockaddr(to), fds[i]}
		}
		for _, fd := range fds {
			event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
			if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(out, at[0], at[1]); err != nil {
			return err
		}
	}
	return lines.Err()
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
