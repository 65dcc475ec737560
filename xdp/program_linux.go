package xdp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// What an XDP program may say of a frame, and where it finds things: struct xdp_md of linux/bpf.h.
const (
	pass         = 2
	atData       = 0
	atDataEnd    = 4
	atQueue      = 16
	atEtherType  = 12
	atIP4        = etherSize
	atIP6        = etherSize
	toPass       = "pass"
	toPort       = "port"
	toIP6        = "ip6"
	fragmentBits = 0x3fff
)

// maps are what the program looks into: the sockets by queue, and by address and port whether a datagram is taken. One has the
// ports in use and no more: what else a host does on a port of the range, a question to a name server say, stays the kernel's.
type maps struct {
	sockets, ports *ebpf.Map
}

// portsOfAddress is how many places an address has in the map of ports.
const portsOfAddress = 1 << 16

func newMaps(queues, addresses int) (m maps, err error) {
	m.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "carillon_queues", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
	if err != nil {
		return m, err
	}
	// Mapped, so that a port is taken and left without a call of the system.
	m.ports, err = ebpf.NewMap(&ebpf.MapSpec{Name: "carillon_ports", Type: ebpf.Array, KeySize: 4, ValueSize: 8,
		MaxEntries: uint32(addresses * portsOfAddress), Flags: unix.BPF_F_MMAPABLE})
	return m, err
}

func (m *maps) close() {
	for _, each := range []*ebpf.Map{m.sockets, m.ports} {
		if each != nil {
			_ = each.Close()
		}
	}
}

// program is one that hands frames with a datagram for a port that is taken to the socket of their queue, and leaves all
// others to the kernel, as well as those of a queue without a socket. Places in the map of ports follow the addresses. Frames
// that are not for the interface itself are the kernel's: it drops those of others, which it sees where it listens to all, as
// for a capture, and decides about those for many.
func program(m maps, hardware [6]byte, addresses []netip.Addr) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "carillon_media", Type: ebpf.XDP, License: "Dual MIT/GPL",
		Instructions: instructions(m.sockets.FD(), m.ports.FD(), hardware, addresses),
	})
}

func instructions(sockets, ports int, hardware [6]byte, addresses []netip.Addr) asm.Instructions {
	// R2 is the frame, R3 its end, R9 the queue, R8 the place of the address's ports; R4 is for places and R5 for what is read.
	all := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, atData, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, atDataEnd, asm.Word),
		asm.LoadMem(asm.R9, asm.R1, atQueue, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2), // a longer frame has no room in a socket's memory
		asm.Add.Imm(asm.R4, MaxFrame),
		asm.JLT.Reg(asm.R4, asm.R3, toPass),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, atIP4+ip4Size+udpSize),
		asm.JGT.Reg(asm.R4, asm.R3, toPass),
	}
	all = append(append(all, isFor(hardware)...),
		asm.LoadMem(asm.R5, asm.R2, atEtherType, asm.Half),
		asm.JEq.Imm(asm.R5, wire16(etherIP6), toIP6),
		asm.JNE.Imm(asm.R5, wire16(etherIP4), toPass),
		asm.LoadMem(asm.R5, asm.R2, atIP4, asm.Byte),
		asm.JNE.Imm(asm.R5, 0x45, toPass),
		asm.LoadMem(asm.R5, asm.R2, atIP4+6, asm.Half),
		asm.And.Imm(asm.R5, wire16(fragmentBits)),
		asm.JNE.Imm(asm.R5, 0, toPass),
		asm.LoadMem(asm.R5, asm.R2, atIP4+9, asm.Byte),
		asm.JNE.Imm(asm.R5, udp, toPass),
		asm.LoadMem(asm.R5, asm.R2, atIP4+ip4Size+2, asm.Half),
		asm.LoadMem(asm.R4, asm.R2, atIP4+16, asm.Word),
	)
	for i, a := range addresses {
		if a.Is4() {
			raw := a.As4()
			all = append(all, asm.Mov.Imm(asm.R8, int32(i*portsOfAddress)),
				asm.JEq.Imm32(asm.R4, int32(binary.NativeEndian.Uint32(raw[:])), toPort))
		}
	}
	all = append(all,
		asm.Ja.Label(toPass),
		asm.Mov.Reg(asm.R4, asm.R2).WithSymbol(toIP6),
		asm.Add.Imm(asm.R4, atIP6+ip6Size+udpSize),
		asm.JGT.Reg(asm.R4, asm.R3, toPass),
		asm.LoadMem(asm.R5, asm.R2, atIP6+6, asm.Byte),
		asm.JNE.Imm(asm.R5, udp, toPass),
		asm.LoadMem(asm.R5, asm.R2, atIP6+ip6Size+2, asm.Half),
	)
	for i, a := range addresses {
		if a.Is6() {
			all = append(all, asm.Mov.Imm(asm.R8, int32(i*portsOfAddress)))
			all = append(all, isIP6(a, fmt.Sprint("not", i))...)
		}
	}
	return append(all,
		asm.Ja.Label(toPass),
		asm.HostTo(asm.BE, asm.R5, asm.Half).WithSymbol(toPort),
		asm.Add.Reg(asm.R5, asm.R8),
		asm.StoreMem(asm.RFP, -4, asm.R5, asm.Word),
		asm.LoadMapPtr(asm.R1, ports),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, toPass),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord),
		asm.JEq.Imm(asm.R0, 0, toPass),
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Mov.Imm(asm.R3, pass), // where the map has none
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, pass).WithSymbol(toPass),
		asm.Return(),
	)
}

// isFor leaves frames to the kernel that are for another address of Ethernet.
func isFor(hardware [6]byte) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R5, asm.R2, 0, asm.Word),
		asm.JNE.Imm32(asm.R5, int32(binary.NativeEndian.Uint32(hardware[:])), toPass),
		asm.LoadMem(asm.R5, asm.R2, 4, asm.Half),
		asm.JNE.Imm(asm.R5, int32(binary.NativeEndian.Uint16(hardware[4:])), toPass),
	}
}

// isIP6 goes on to the port where the destination is a, and else behind itself.
func isIP6(a netip.Addr, behind string) (all asm.Instructions) {
	raw := a.As16()
	for i := 0; i < len(raw); i += 4 {
		all = append(all,
			asm.LoadMem(asm.R4, asm.R2, int16(atIP6+24+i), asm.Word),
			asm.JNE.Imm32(asm.R4, int32(binary.NativeEndian.Uint32(raw[i:])), behind))
	}
	// Something to jump to that does nothing.
	return append(all, asm.Ja.Label(toPort), asm.Mov.Reg(asm.R4, asm.R2).WithSymbol(behind))
}

// wire16 is how the processor reads two octets that are n on the wire.
func wire16(n uint16) int32 {
	return int32(binary.NativeEndian.Uint16([]byte{byte(n >> 8), byte(n)}))
}
