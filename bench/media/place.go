package main

import (
	"os"

	"carillon/bench/party"
)

// place is where the parties of a run have their addresses, and how a program starts where the systems are.
type place struct {
	party.Hosts
	forwarder, rtpengine string
	// enter is a command in front of a system's program; none where systems are where the load is.
	enter []string
	// device is the interface that systems have towards the load, empty for the loopback interface.
	device string
	// both is true where systems may use the load's processor, too.
	both bool
}

// loopback is the place where all parties are on one host.
func loopback() place {
	return place{Hosts: party.Loopback(), forwarder: "127.0.0.14", rtpengine: "127.0.0.15"}
}

// between is the place where the load is on one host and the systems are on another, in a namespace. They take turns, so
// all have one address.
func between(systems string) place {
	return place{
		Hosts:     party.Hosts{Node: systemAddress, Caller: callerAddress, Callee: calleeAddress, Control: systemAddress},
		forwarder: systemAddress, rtpengine: systemAddress,
		enter:  []string{"ip", "netns", "exec", systems},
		device: systemDevice,
	}
}

// under is the command that starts a system; its last two words are this program and underFlag or bothFlag.
func (p place) under() ([]string, error) {
	self, err := os.Executable()
	flag := underFlag
	if p.both {
		flag = bothFlag
	}
	return append(append([]string(nil), p.enter...), self, flag), err
}

// processors is how many the systems have.
func (p place) processors() int {
	if p.both {
		return 2
	}
	return 1
}
