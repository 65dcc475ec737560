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
	// freshReport is how many seconds what a peer reports is taken for what it hears: five of the 5 s at which reports come,
	// after which RFC 3550 section 6.3.5 has it leave.
	freshReport = 25
	// maxRoundTrip bounds what is believed of a round trip, and of the jitter that a peer reports.
	maxRoundTrip = 30 * time.Second
	// rememberedReports is how many sender's reports an answer may refer to.
	rememberedReports = 4
)

// source is the stream that goes to a peer, as a sender's report describes it.
type source struct {
	ssrc, timestamp uint32
	at              time.Duration // of timestamp, since the relay's epoch
	rate            uint32        // of its clock, in Hz
	packets, octets uint64        // sent before it began
	heads           uint64        // as reporting has it, before it began
}

// mark takes a packet of the source: its time stamp is that of this moment.
func (s *source) mark(timestamp uint32, at time.Duration, rate uint32) {
	s.timestamp, s.at, s.rate = timestamp, at, rate
}

// info describes the stream now.
func (lg *leg) info(w *worker) rtp.SenderInfo {
	s, c := &lg.source, &lg.count
	packets := c.sent.Load() - s.packets
	rate := time.Duration(s.rate)
	if rate == 0 {
		rate = 8000
	}
	return rtp.SenderInfo{
		NTP: rtp.NTPTime(w.now), RTP: s.timestamp + uint32((w.since-s.at)*rate/time.Second),
		Packets: uint32(packets), Octets: uint32(c.bytesSent.Load() - s.octets - packets*rtp.HeaderSize - (lg.heads - s.heads)),
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
	// heads is how much of what was sent were contributing sources and header extensions, which no sender's report counts.
	heads uint64
	sent  [rememberedReports]sentReport
	next  int // place in sent
	// lastSR is the middle of the NTP time of the peer's last sender's report, 0 for none, lastSRAt when it came.
	lastSR   uint32
	lastSRAt time.Duration
	heardAt  int64 // second in which the peer last sent RTCP
	dueAt    int64 // second from which the next report of ours may go
	// Of what is sent to the peer: missing is what it last reported as lost of the source and missingBefore of those before,
	// fraction the share of late, toldAt the second of that report, 0 for none of this source.
	missing, missingBefore uint64
	fraction               float64
	toldAt                 int64
}

// changeSource begins another stream to the peer, with the packet that comes next.
func (lg *leg) changeSource(ssrc uint32) {
	lg.source = source{ssrc: ssrc, packets: lg.count.sent.Load(), octets: lg.count.bytesSent.Load(), heads: lg.heads}
	lg.missing, lg.missingBefore, lg.toldAt = 0, lg.missingBefore+lg.missing, 0
}

// isTold reports whether what the peer last reported still tells how it heard in a second.
func (r *reporting) isTold(second int64) bool {
	return r.toldAt != 0 && second-r.toldAt <= freshReport
}

// remember notes that a sender's report goes to the peer.
func (r *reporting) remember(middle uint32, at time.Duration) {
	r.sent[r.next] = sentReport{middle, at}
	r.next = (r.next + 1) % rememberedReports
}

// readRTCP takes from an authentic compound of the leg's peer what it tells of both ways.
func (lg *leg) readRTCP(w *worker, b []byte) {
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
				lg.readBlock(w, block)
			}
		}
	}
}

// readBlock takes what the peer says of the stream that goes to it, as far as it can be true.
func (lg *leg) readBlock(w *worker, b rtp.ReportBlock) {
	c := &lg.count
	lg.toldAt = w.second
	lg.missing = min(uint64(max(b.Lost, 0)), c.sent.Load()-lg.source.packets)
	c.lostSent.Store(lg.missingBefore + lg.missing)
	lg.fraction = float64(b.Fraction) / 256
	if rate := uint64(lg.source.rate); rate > 0 {
		c.jitterSent.Store(min(uint64(b.Jitter)*uint64(time.Second)/rate, uint64(maxRoundTrip)))
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
	if w.second < lg.dueAt || p.muted || p.quiet || !p.rtcp.to.IsValid() || w.second-max(lg.far.heardAt, p.since) < ownReportAfter {
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
	if ssrc != 0 && w.since-lg.far.arrived < freshSource {
		info := lg.info(w)
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
