package phone

import (
	"encoding/binary"
	"time"

	"carillon/rtp"
)

// reporter keeps what RTCP needs between reports (RFC 3550 section 6.4.1).
type reporter struct {
	lastSR    uint32    // middle 32 bits of the NTP time of the other side's last sender report
	lastSRAt  time.Time // when it came
	roundTrip time.Duration
}

const (
	senderInfoSize  = 20
	reportBlockSize = 24
)

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// middle returns the middle 32 bits of an NTP time: 1/65536 s.
func middle(ntp uint64) uint32 { return uint32(ntp >> 16) }

// ticks returns a duration in 1/65536 s.
func ticks(d time.Duration) uint32 { return uint32(d * 65536 / time.Second) }

// read takes a compound packet that CheckRTCP has passed.
func (r *reporter) read(packet []byte, ours uint32, now time.Time) {
	for len(packet) >= rtp.RTCPHeaderSize {
		size := 4 * (int(binary.BigEndian.Uint16(packet[2:])) + 1)
		if size > len(packet) {
			return
		}
		r.readOne(packet[:size], ours, now)
		packet = packet[size:]
	}
}

func (r *reporter) readOne(p []byte, ours uint32, now time.Time) {
	blocks, count := p[min(rtp.RTCPHeaderSize, len(p)):], int(p[0]&0x1f)
	switch p[1] {
	case rtp.TypeSR:
		if len(blocks) < senderInfoSize {
			return
		}
		r.lastSR, r.lastSRAt = middle(binary.BigEndian.Uint64(blocks)), now
		blocks = blocks[senderInfoSize:]
	case rtp.TypeRR:
	default:
		return
	}
	for ; count > 0 && len(blocks) >= reportBlockSize; count-- {
		lastSR, delay := be32(blocks[16:]), be32(blocks[20:])
		if be32(blocks) == ours && lastSR != 0 {
			// The difference is taken in 32 bits with wrap; a negative one comes from a clock that was set.
			if trip := int32(middle(rtp.NTPTime(now)) - lastSR - delay); trip >= 0 {
				r.roundTrip = time.Duration(trip) * time.Second / 65536
			}
		}
		blocks = blocks[reportBlockSize:]
	}
}

// receiveReport takes one compound RTCP packet.
func (m *media) receiveReport(packet []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unseal != nil {
		var err error
		if packet, err = m.unseal.UnprotectRTCP(packet[:0], packet); err != nil {
			m.refused(err)
			return
		}
	}
	if rtp.CheckRTCP(packet) != nil {
		m.stats.Rejected++
		return
	}
	m.stats.RTCPReceived++
	m.report.read(packet, m.header.SSRC, m.clock.Now())
}

// sendReport sends a sender or receiver report with our canonical name.
func (m *media) sendReport(buf []byte) {
	m.mu.Lock()
	packet := m.makeReport(buf)
	to := m.agreed.remoteRTCP
	m.mu.Unlock()
	if packet == nil {
		return
	}
	if _, err := m.sockets.rtcp.WriteToUDPAddrPort(packet, to); err != nil && !m.isClosed() {
		m.log.Debug("send RTCP", "error", err)
	}
}

func (m *media) makeReport(buf []byte) []byte {
	now := m.clock.Now()
	var blocks []rtp.ReportBlock
	if m.stats.PacketsReceived > 0 {
		b := m.account.Report()
		if b.LastSR = m.report.lastSR; b.LastSR != 0 {
			b.Delay = ticks(now.Sub(m.report.lastSRAt))
		}
		blocks = append(blocks, b)
	}
	ssrc := m.header.SSRC
	var packet []byte
	if m.agreed.sends && m.stats.PacketsSent > 0 {
		packet = rtp.AppendSR(buf, ssrc, rtp.SenderInfo{
			NTP: rtp.NTPTime(now), RTP: m.header.Timestamp,
			Packets: uint32(m.stats.PacketsSent), Octets: uint32(m.stats.BytesSent),
		}, blocks...)
	} else {
		packet = rtp.AppendRR(buf, ssrc, blocks...)
	}
	packet = rtp.AppendCNAME(packet, ssrc, m.local.String())
	if m.sender != nil {
		var err error
		if packet, err = m.sender.ProtectRTCP(packet[:0], packet); err != nil {
			m.log.Debug("protect RTCP", "error", err)
			return nil
		}
	}
	m.stats.RTCPSent++
	return packet
}
