package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The two hosts of a run with -veth. No name and no address is seen outside of their namespaces.
const (
	loadDevice    = "load0"
	systemDevice  = "system0"
	systemAddress = "10.77.0.10"
	callerAddress = "10.77.0.20"
	calleeAddress = "10.77.0.30"
	networkBits   = "/24"
	// Of addresses that whoever runs a network gives out.
	loadMAC   = "\x02\x00\x0a\x4d\x00\x14"
	systemMAC = "\x02\x00\x0a\x4d\x00\x0a"
)

// namespaces are two hosts and the wire between them: two network namespaces and a pair of veth(4) with one queue each.
type namespaces struct{ load, systems string }

// newNamespaces makes them; run tells them from those of other runs. What was made is returned also with an error.
func newNamespaces(run int) (*namespaces, error) {
	n := &namespaces{fmt.Sprintf("carillon-load-%d", run), fmt.Sprintf("carillon-systems-%d", run)}
	queues := []string{"numrxqueues", "1", "numtxqueues", "1"}
	pair := append([]string{"-n", n.load, "link", "add", loadDevice, "address", net.HardwareAddr(loadMAC).String()}, queues...)
	pair = append(pair, "type", "veth", "peer", "name", systemDevice, "address", net.HardwareAddr(systemMAC).String())
	pair = append(pair, queues...)
	for _, args := range [][]string{
		{"netns", "add", n.load},
		{"netns", "add", n.systems},
		append(pair, "netns", n.systems),
		{"-n", n.load, "address", "add", callerAddress + networkBits, "dev", loadDevice},
		{"-n", n.load, "address", "add", calleeAddress + networkBits, "dev", loadDevice},
		{"-n", n.systems, "address", "add", systemAddress + networkBits, "dev", systemDevice},
		{"-n", n.load, "link", "set", "lo", "up"},
		{"-n", n.systems, "link", "set", "lo", "up"},
		// No IPv6, whose solicitations would be on the wire.
		{"-n", n.load, "link", "set", loadDevice, "addrgenmode", "none", "up"},
		{"-n", n.systems, "link", "set", systemDevice, "addrgenmode", "none", "up"},
	} {
		if _, err := ip(args...); err != nil {
			return n, err
		}
	}
	return n, nil
}

// remove ends what still runs in the namespaces and removes them.
func (n *namespaces) remove() error {
	var errs []error
	for _, name := range []string{n.load, n.systems} {
		if _, err := os.Stat("/run/netns/" + name); errors.Is(err, os.ErrNotExist) {
			continue // it was not made
		}
		errs = append(errs, clear(name))
		_, err := ip("netns", "delete", name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// clear ends the processes in a namespace, which are all of this run.
func clear(namespace string) error {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		text, err := ip("netns", "pids", namespace)
		if err != nil {
			return err
		}
		pids := strings.Fields(text)
		if len(pids) == 0 {
			return nil
		}
		for _, field := range pids {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
	return fmt.Errorf("processes in %s do not end", namespace)
}

func ip(args ...string) (string, error) {
	text, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return string(text), nil
}

// insideFlag makes this program the load in its namespace; the name of the systems' namespace and the usual flags follow.
const insideFlag = "-in-the-namespace-of-the-load"

// apart makes the namespaces, runs this program again in the load's and removes them, also when ctx ends or something fails.
func apart(ctx context.Context, args []string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("-veth needs root, who may make network namespaces")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n, err := newNamespaces(os.Getpid())
	defer func() { err = errors.Join(err, n.remove()) }()
	if err != nil {
		return fmt.Errorf("make two hosts: %w", err)
	}
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.load, self, insideFlag, n.systems}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run between two hosts: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}
