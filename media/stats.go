package media

import (
	"math"
	"sync/atomic"
	"time"

	"carillon/call"
)

// Stats is what a plane holds and has done since it started. Counts are of all sessions, ended ones too.
type Stats struct {
	// Sessions is the number of open sessions.
	Sessions int
	// PortsInUse, PortsDraining, PortsIdle and PortsTotal count ports, not pairs: held by a call, resting after
	// one, bound for the next one, and all there are.
	PortsInUse, PortsDraining, PortsIdle, PortsTotal int
	// PortsReused counts pairs taken from those that were idle, PortsHurried those taken before their drain time was
	// over because all others were in use, PortsStrayed the times a pair had to rest on because somebody still sent.
	PortsReused, PortsHurried, PortsStrayed uint64
	// Refused counts sessions that found no ports.
	Refused uint64
	// Received and Sent count datagrams.
	Received, Sent uint64
	// Dropped counts datagrams received and not relayed, for any of the reasons below.
	Dropped uint64
	// Unready counts those on ports without a session or before an answer, Oversize those longer than
	// MaxPacket, Malformed those that are not what their port is for: RTP, RTCP, or on a port of RTP alone RTCP.
	Unready, Oversize, Malformed uint64
	// AuthFailures, Replays, PlainDropped and WrongSource are the sums of the legs' counts.
	AuthFailures, Replays, PlainDropped, WrongSource uint64
	// Muted counts packets for a leg on hold, not yet confirmed, or whose peer's address is not known.
	Muted uint64
	// SendRefused counts packets that could not be protected: an index used twice, or too many streams.
	SendRefused uint64
	// SendErrors counts packets the kernel refused.
	SendErrors uint64
	// Checks counts connectivity checks of ICE that were answered.
	Checks uint64
	// Policed counts packets of which too many came in a second.
	Policed uint64
	// KeyUsedUp counts packets past the lifetime of their key, and of more streams than one key serves.
	KeyUsedUp uint64
	// OldKey counts packets taken under a key that its peer had changed, Resynced streams found again behind a rollover
	// of the sequence number that was missed.
	OldKey, Resynced uint64
	// FastReceived and FastSent count the datagrams that passed the kernel by, FastPassed those that had to go through
	// their sockets though the way past the kernel was there, FastMalformed frames that were no datagram and FastLost those
	// that were not fetched in time. FastHops is the number of destinations whose next hop is known.
	FastReceived, FastSent, FastPassed, FastMalformed, FastLost uint64
	FastHops                                                    int
}

// counters are one loop's share of Stats. Each loop has its own, so that loops share no cache line.
type counters struct {
	_                                                [64]byte
	refused                                          atomic.Uint64
	received, sent                                   atomic.Uint64
	unready, oversize, malformed                     atomic.Uint64
	authFailures, replays, plainDropped, wrongSource atomic.Uint64
	muted, sendRefused, sendErrors                   atomic.Uint64
	oldKey, resynced, policed, checks, keyUsedUp     atomic.Uint64
	_                                                [64]byte
}

func (c *counters) addTo(s *Stats) {
	s.Refused += c.refused.Load()
	s.Received += c.received.Load()
	s.Sent += c.sent.Load()
	s.Unready += c.unready.Load()
	s.Oversize += c.oversize.Load()
	s.Malformed += c.malformed.Load()
	s.AuthFailures += c.authFailures.Load()
	s.Replays += c.replays.Load()
	s.PlainDropped += c.plainDropped.Load()
	s.WrongSource += c.wrongSource.Load()
	s.Muted += c.muted.Load()
	s.SendRefused += c.sendRefused.Load()
	s.SendErrors += c.sendErrors.Load()
	s.Policed += c.policed.Load()
	s.KeyUsedUp += c.keyUsedUp.Load()
	s.OldKey += c.oldKey.Load()
	s.Checks += c.checks.Load()
	s.Resynced += c.resynced.Load()
	s.Dropped = s.Unready + s.Oversize + s.Malformed + s.AuthFailures + s.Replays + s.PlainDropped +
		s.WrongSource + s.Muted + s.SendRefused + s.SendErrors + s.Policed + s.KeyUsedUp
}

// legCounters are written by one loop and read by reports.
type legCounters struct {
	// Those of every packet, a line of memory.
	received, bytesReceived, unprotected atomic.Uint64
	lastHeard                            atomic.Int64 // nanoseconds since the relay's epoch
	jitter                               atomic.Uint64
	sent, bytesSent, protected           atomic.Uint64

	plainSent, rtcpReceived, rtcpSent                  atomic.Uint64
	authFailures, replays, plainDropped, strange, lost atomic.Uint64
	// Of the quality; durations in nanoseconds.
	maxJitter, longestGap, roundTrip, oneWay atomic.Uint64
	lostSent, jitterSent, rtcpMade, policed  atomic.Uint64
	keyUsedUp                                atomic.Uint64
	// Sums of the seconds' estimates in hundredths, and how many seconds they are of.
	mosReceived, mosSent, ratedReceived, ratedSent atomic.Uint64
	ssrc                                           atomic.Uint32
}

func (c *legCounters) report() call.LegReport {
	return call.LegReport{
		PacketsReceived: c.received.Load(), BytesReceived: c.bytesReceived.Load(),
		PacketsSent: c.sent.Load(), BytesSent: c.bytesSent.Load(),
		RTCPReceived: c.rtcpReceived.Load(), RTCPSent: c.rtcpSent.Load(),
		Protected: c.protected.Load(), Unprotected: c.unprotected.Load(),
		AuthFailures: c.authFailures.Load(), Replays: c.replays.Load(),
		PlainDropped: c.plainDropped.Load(), PlainSent: c.plainSent.Load(),
		WrongSource: c.strange.Load(), Lost: c.lost.Load(),
		JitterMicros:    c.jitter.Load() / uint64(time.Microsecond),
		MaxJitterMicros: max(c.maxJitter.Load(), c.jitter.Load()) / uint64(time.Microsecond),
		Policed:         c.policed.Load(), SSRC: c.ssrc.Load(),
		RoundTripMicros:  c.roundTrip.Load() / uint64(time.Microsecond),
		LongestGapMicros: c.longestGap.Load() / uint64(time.Microsecond), OneWaySeconds: c.oneWay.Load(),
		LostSent: c.lostSent.Load(), JitterSentMicros: c.jitterSent.Load() / uint64(time.Microsecond),
		RTCPMade: c.rtcpMade.Load(), KeyUsedUp: c.keyUsedUp.Load(),
	}
}

// mos rates what came and, where the peer reports it, what was sent: the mean of the seconds, or what is known at all of
// a call that was too short to have any.
func (c *legCounters) mos(codec string) (received, sent float64) {
	trip := time.Duration(c.roundTrip.Load())
	if n := c.ratedReceived.Load(); n > 0 {
		received = mean(c.mosReceived.Load(), n)
	} else if n := c.received.Load(); n > 0 {
		received = mean(uint64(mos(codec, share(c.lost.Load(), n), trip, time.Duration(c.jitter.Load()))), 1)
	}
	if n := c.ratedSent.Load(); n > 0 {
		sent = mean(c.mosSent.Load(), n)
	}
	return received, sent
}

// mean returns the mean of n estimates in hundredths, to two places.
func mean(sum, n uint64) float64 { return math.Round(float64(sum)/float64(n)) / 100 }
