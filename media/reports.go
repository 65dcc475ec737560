package media

import (
	"time"

	"carillon/rtp"
)

const (
	// ownReportAfter is how many seconds a side must send no RTCP before the node reports to the other side in its
	// stead: one and a half of the 5 s at which RTCP comes (RFC 3550 section 6.2).
	ownReportAfter = 8
	// reportEvery is the least number of seconds between two such reports; up to reportSpread more are added by chance,
	// so that the reports of many calls do not come together.
	reportEvery, reportSpread = 4, 3
	// freshSource is how long ago a stream may have sent for a sender's report to be made of it.
	freshSource = 5 * time.Second
	// maxRoundTrip bounds what is believed of a round trip.
	maxRoundTrip = 30 * time.Second
	// rememberedReports is how many sender's reports an answer may refer to.
	rememberedReports = 4
)

// source is the stream that goes to a peer, as a sender's report describes it.
type source struct {
	ssrc, timestamp uint32
	at              time.Duration // of timestamp, since the relay's epoch
	packets, octets uint64        // sent before it began
}

// begin takes the first packet of a second.
func (s *source) begin(w *worker, h rtp.Header, c *legCounters) {
	if h.SSRC != s.ssrc {
		s.ssrc, s.packets, s.octets = h.SSRC, c.sent.Load(), c.bytesSent.Load()
	}
	s.timestamp, s.at = h.Timestamp, w.since
}

// info describes the stream now.
func (s *source) info(w *worker, p *path, c *legCounters) rtp.SenderInfo {
	packets := c.sent.Load() - s.packets
	rate := time.Duration(p.clockRate)
	if rate == 0 {
		rate = 8000
	}
	return rtp.SenderInfo{
		NTP: rtp.NTPTime(w.now), RTP: s.timestamp + uint32((w.since-s.at)*rate/time.Second),
		Packets: uint32(packets), Octets: uint32(c.bytesSent.Load() - s.octets - packets*rtp.HeaderSize),
	}
}

// sentReport is a sender's report that a peer may answer.
type sentReport struct {
	middle uint32 // of its NTP time
	at     time.Duration
}

// reporting is what RTCP needs to know of a leg's peer. It belongs to the session's relay loop.
type reporting struct {
	source source
	sent   [rememberedReports]sentReport
	next   int // place in sent
	// lastSR is the middle of the NTP time of the peer's last sender's report, 0 for none, lastSRAt when it came.
	lastSR   uint32
	lastSRAt time.Duration
	heardAt  int64   // second in which the peer last sent RTCP
	dueAt    int64   // second from which the next report of ours may go
	fraction float64 // of what is sent to the peer, lost by its last report
}

// remember notes that a sender's report goes to the peer.
func (r *reporting) remember(middle uint32, at time.Duration) {
	r.sent[r.next] = sentReport{middle, at}
	r.next = (r.next + 1) % rememberedReports
}

// readRTCP takes from an authentic compound of the leg's peer what it tells of both ways.
func (lg *leg) readRTCP(w *worker, p *path, b []byte) {
	lg.heardAt = w.second
	for len(b) > 0 {
		var first []byte
		first, b = rtp.NextRTCP(b)
		r, ok := rtp.ParseReport(first)
		if !ok {
			continue
		}
		if r.Sender {
			lg.lastSR, lg.lastSRAt = rtp.MiddleNTP(r.Info.NTP), w.since
			lg.far.remember(lg.lastSR, w.since)
		}
		for i := range r.Len() {
			if block := r.Block(i); block.SSRC == lg.source.ssrc {
				lg.readBlock(w, p, block)
			}
		}
	}
}

// readBlock takes what the peer says of the stream that goes to it.
func (lg *leg) readBlock(w *worker, p *path, b rtp.ReportBlock) {
	c := &lg.count
	c.reports.Add(1)
	c.lostSent.Store(uint64(max(b.Lost, 0)))
	lg.fraction = float64(b.Fraction) / 256
	if p.clockRate > 0 {
		c.jitterSent.Store(uint64(b.Jitter) * uint64(time.Second) / uint64(p.clockRate))
	}
	if b.LastSR == 0 {
		return
	}
	for _, s := range lg.reporting.sent {
		if s.middle != b.LastSR {
			continue
		}
		// Of less than the unit of the report's delay nothing is known.
		if trip := w.since - s.at - rtp.DelayOf(b.Delay); trip > -time.Millisecond && trip < maxRoundTrip {
			c.roundTrip.Store(uint64(max(trip, time.Microsecond)))
		}
		return
	}
}

// reportTo sends the leg's peer a report of our own, where one is due and the other side sends none.
func (lg *leg) reportTo(w *worker, p *path) {
	if w.second < lg.dueAt || p.muted || !p.rtcp.to.IsValid() || w.second-max(lg.far.heardAt, p.since) < ownReportAfter {
		return
	}
	var blocks [1]rtp.ReportBlock
	n := 0
	if lg.count.received.Load() > 0 {
		blocks[0], n = lg.stream.Report(), 1
		if lg.lastSR != 0 {
			blocks[0].LastSR, blocks[0].Delay = lg.lastSR, rtp.ReportDelay(w.since-lg.lastSRAt)
		}
	}
	s, b, middle := &lg.source, w.report[:0], uint32(0)
	ssrc := s.ssrc
	if ssrc != 0 && w.since-s.at < freshSource {
		info := s.info(w, p, &lg.count)
		b, middle = rtp.AppendSR(b, ssrc, info, blocks[:n]...), rtp.MiddleNTP(info.NTP)
	} else {
		if ssrc == 0 {
			ssrc = lg.session.ssrc
		}
		b = rtp.AppendRR(b, ssrc, blocks[:n]...)
	}
	lg.dueAt = w.second + reportEvery + int64(lg.session.ssrc>>uint(w.second%24))%reportSpread
	if !lg.forwardRTCP(w, p, rtp.AppendCNAME(b, ssrc, lg.session.cname)) {
		return
	}
	lg.count.rtcpMade.Add(1)
	if middle != 0 {
		lg.remember(middle, w.since)
	}
}
