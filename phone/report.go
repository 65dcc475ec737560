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

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// read takes a compound packet that CheckRTCP has passed.
func (r *reporter) read(packet []byte, ours uint32, now time.Time) {
	for len(packet) > 0 {
		var first []byte
		first, packet = rtp.NextRTCP(packet)
		report, ok := rtp.ParseReport(first)
		if !ok {
			continue
		}
		if report.Sender {
			r.lastSR, r.lastSRAt = rtp.MiddleNTP(report.Info.NTP), now
		}
		for i := range report.Len() {
			b := report.Block(i)
			if b.SSRC != ours || b.LastSR == 0 {
				continue
			}
			// The difference is taken in 32 bits with wrap; a negative one comes from a clock that was set.
			if trip := int32(rtp.MiddleNTP(rtp.NTPTime(now)) - b.LastSR - b.Delay); trip >= 0 {
				r.roundTrip = rtp.DelayOf(uint32(trip))
			}
		}
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
			b.Delay = rtp.ReportDelay(now.Sub(m.report.lastSRAt))
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
