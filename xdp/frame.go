package xdp

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"net/netip"
)

// Sizes of headers in octets: Ethernet without a tag, IPv4 without options (RFC 791), IPv6 (RFC 8200), UDP (RFC 768).
const (
	etherSize = 14
	ip4Size   = 20
	ip6Size   = 40
	udpSize   = 8
)

const (
	etherIP4 = 0x0800
	etherIP6 = 0x86dd
	// udp is its number as IP's payload.
	udp = 17
	// hopLimit is the time to live of what is sent.
	hopLimit = 64
	// dontFragment is the flag of IPv4 beside a fragment's place. With it the identification may be 0 (RFC 6864).
	dontFragment = 0x4000
)

// Datagram is what a frame carries. Payload lies in the frame's memory.
type Datagram struct {
	From, To netip.AddrPort
	Payload  []byte
}

// What Parse says of frames it does not take.
var (
	errShort    = errors.New("the frame ends early")
	errForm     = errors.New("the frame has no whole UDP datagram without IP options")
	errChecksum = errors.New("a checksum is wrong")
	errAddress  = errors.New("the source is no host's address")
)

// Parse finds the UDP datagram in an Ethernet frame. It refuses what the kernel would have refused: lengths that do not
// fit, wrong checksums, sources that are no host's. Fragments and options are refused as well; the program leaves both to
// the kernel.
func Parse(frame []byte) (d Datagram, err error) {
	if len(frame) < etherSize+ip4Size {
		return d, errShort
	}
	b := frame[etherSize:]
	var from, to netip.Addr
	var datagram []byte
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIP4:
		size := int(binary.BigEndian.Uint16(b[2:]))
		if b[0] != 0x45 || b[9] != udp || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 || size < ip4Size+udpSize {
			return d, errForm
		}
		if size > len(b) {
			return d, errShort
		}
		if fold(sum(b[:ip4Size], 0)) != 0xffff {
			return d, errChecksum
		}
		from, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		datagram = b[ip4Size:size]
	case etherIP6:
		if len(b) < ip6Size {
			return d, errShort
		}
		size := int(binary.BigEndian.Uint16(b[4:]))
		if b[0]>>4 != 6 || b[6] != udp || size < udpSize {
			return d, errForm
		}
		if ip6Size+size > len(b) {
			return d, errShort
		}
		from, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		datagram = b[ip6Size : ip6Size+size]
	default:
		return d, errForm
	}
	size := int(binary.BigEndian.Uint16(datagram[4:]))
	if size < udpSize || size > len(datagram) {
		return d, errForm
	}
	datagram = datagram[:size]
	if !intact(from, to, datagram) {
		return d, errChecksum
	}
	if from.IsUnspecified() || from.IsMulticast() || from.IsLoopback() || from == to || from == broadcast() || from.Is4In6() {
		return d, errAddress
	}
	d.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(datagram))
	d.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(datagram[2:]))
	d.Payload = datagram[udpSize:]
	return d, nil
}

func broadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// intact checks a datagram's checksum (RFC 768, RFC 8200 section 8.1). Another process of this machine, at the other end
// of a virtual wire, leaves the sum of the addresses and the length for the hardware that would come to add the rest.
func intact(from, to netip.Addr, datagram []byte) bool {
	told := binary.BigEndian.Uint16(datagram[6:])
	if told == 0 {
		return from.Is4()
	}
	head := pseudo(from, to, len(datagram))
	return told == fold(head) || fold(sum(datagram, head)) == 0xffff
}

// pseudo is the sum of the pseudo header.
func pseudo(from, to netip.Addr, size int) uint64 {
	acc := uint64(size) + udp
	if from.Is4() {
		f, t := from.As4(), to.As4()
		return sum(t[:], sum(f[:], acc))
	}
	f, t := from.As16(), to.As16()
	return sum(t[:], sum(f[:], acc))
}

// sum adds b to an Internet checksum that is not folded yet (RFC 1071). Whole words of eight octets are added with the
// carry put back, which comes to the same modulo 2^16-1.
func sum(b []byte, acc uint64) uint64 {
	var carry uint64
	for len(b) >= 32 { // four at a time: between two turns of a loop the carry has to be kept elsewhere
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) >= 4 {
		acc, carry = bits.Add64(acc, uint64(binary.BigEndian.Uint32(b)), carry)
		b = b[4:]
	}
	if len(b) >= 2 {
		acc, carry = bits.Add64(acc, uint64(binary.BigEndian.Uint16(b)), carry)
		b = b[2:]
	}
	if len(b) == 1 {
		acc, carry = bits.Add64(acc, uint64(b[0])<<8, carry)
	}
	acc, carry = bits.Add64(acc, 0, carry)
	return acc + carry
}

// fold brings a sum to 16 bits.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// write writes the frame of a datagram behind the Ethernet header of its way, and returns its size; 0 where b is too
// short. Both addresses are of one family.
func write(b []byte, ether *[etherSize]byte, class uint8, d Datagram) int {
	from, to, payload := d.From, d.To, d.Payload
	ip := ip4Size
	if from.Addr().Is6() {
		ip = ip6Size
	}
	size := etherSize + ip + udpSize + len(payload)
	if size > len(b) || udpSize+len(payload) > 0xffff-ip {
		return 0
	}
	b = b[:size]
	copy(b, ether[:])
	if ip == ip4Size {
		write4(b[etherSize:etherSize+ip4Size], from.Addr(), to.Addr(), class, size-etherSize)
	} else {
		write6(b[etherSize:etherSize+ip6Size], from.Addr(), to.Addr(), class, udpSize+len(payload))
	}
	u := b[etherSize+ip:]
	binary.BigEndian.PutUint16(u, from.Port())
	binary.BigEndian.PutUint16(u[2:], to.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	binary.BigEndian.PutUint16(u[6:], 0)
	copy(u[udpSize:], payload)
	check := ^fold(sum(u, pseudo(from.Addr(), to.Addr(), len(u))))
	if check == 0 {
		check = 0xffff // 0 means that there is none
	}
	binary.BigEndian.PutUint16(u[6:], check)
	return size
}

func write4(b []byte, from, to netip.Addr, class uint8, size int) {
	f, t := from.As4(), to.As4()
	b[0], b[1] = 0x45, class
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	binary.BigEndian.PutUint32(b[4:], dontFragment)
	b[8], b[9], b[10], b[11] = hopLimit, udp, 0, 0
	copy(b[12:], f[:])
	copy(b[16:], t[:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b, 0)))
}

func write6(b []byte, from, to netip.Addr, class uint8, size int) {
	f, t := from.As16(), to.As16()
	binary.BigEndian.PutUint32(b, 6<<28|uint32(class)<<20)
	binary.BigEndian.PutUint16(b[4:], uint16(size))
	b[6], b[7] = udp, hopLimit
	copy(b[8:], f[:])
	copy(b[24:], t[:])
}
