package server

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/call"
)

// metric is one row of the table of a node's metrics. Planes keep plain counters; only here do they get Prometheus names.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	// label is the name of the metric's one label, empty for none.
	label string
	// read returns the value, or for a metric with a label the values by label.
	read func(*Node) map[string]float64
}

// one is the value of a metric without a label.
func one(v float64) map[string]float64 { return map[string]float64{"": v} }

// counter is a row without a label that only grows.
func counter(name, help string, read func(*Node) uint64) metric {
	return metric{name, help, prometheus.CounterValue, "", func(n *Node) map[string]float64 { return one(float64(read(n))) }}
}

// gauge is a row without a label that goes up and down.
func gauge(name, help string, read func(*Node) int) metric {
	return metric{name, help, prometheus.GaugeValue, "", func(n *Node) map[string]float64 { return one(float64(read(n))) }}
}

// byReason is a row with a value for every call.Reason.
func byReason(name, help string, read func(*Node, call.Reason) uint64) metric {
	return metric{name, help, prometheus.CounterValue, "reason", func(n *Node) map[string]float64 {
		values := make(map[string]float64)
		for _, r := range call.Reasons() {
			values[r.String()] = float64(read(n, r))
		}
		return values
	}}
}

// metrics returns the table of a node's metrics. docs/metrics.md is made from it.
func metrics() []metric {
	return slices.Concat(callMetrics(), mediaMetrics(), sipMetrics(), resolverMetrics(), stateMetrics())
}

func callMetrics() []metric {
	return []metric{
		gauge("carillon_calls_active", "Calls up.", func(n *Node) int { return n.sbc.Active() }),
		counter("carillon_calls_total", "Calls let in.", func(n *Node) uint64 { return n.sbc.Stats().Calls.Load() }),
		counter("carillon_calls_answered_total", "Calls answered.", func(n *Node) uint64 { return n.sbc.Stats().Answered.Load() }),
		byReason("carillon_calls_ended_total", "Calls that ended.", func(n *Node, r call.Reason) uint64 { return n.sbc.Stats().Ended(r) }),
		byReason("carillon_requests_refused_total", "INVITE, OPTIONS and transfers refused. Of these, credentials_required are challenges, which most callers answer.", func(n *Node, r call.Reason) uint64 { return n.sbc.Stats().Refused(r) }),
		counter("carillon_transfers_total", "Calls begun because a customer transferred one.", func(n *Node) uint64 { return n.sbc.Stats().Transfers.Load() }),
		counter("carillon_transfers_failed_total", "Transfers after which the call went on as it was, or ended.",
			func(n *Node) uint64 { return n.sbc.Stats().TransferFails.Load() }),
		counter("carillon_transfers_refused_total", "REFERs answered with a refusal, because of the connector's setting or of the number, which began no call.",
			func(n *Node) uint64 { return n.sbc.Stats().ReferRefusals.Load() }),
		counter("carillon_transferred_parties_total", "Parties that went over from one call into another.",
			func(n *Node) uint64 { return n.sbc.Stats().Transferred.Load() }),
		counter("carillon_call_mailbox_full_total", "Requests inside a call refused because too many waited for it.",
			func(n *Node) uint64 { return n.sbc.Stats().Overflows.Load() }),
		counter("carillon_panics_total", "Faults of this program, each of which ended a call or left a message without an answer; the log has them.",
			func(n *Node) uint64 { return n.sbc.Stats().Panics.Load() }),
		counter("carillon_records_failed_total", "Call records that could not be written.",
			func(n *Node) uint64 { return n.sbc.Stats().RecordFails.Load() }),
		counter("carillon_refusals_unrecorded_total", "Refused calls without a record, because too many were refused at once.",
			func(n *Node) uint64 { return n.sbc.Stats().Unrecorded.Load() }),
		counter("carillon_carrier_probes_total", "OPTIONS sent to carriers.", func(n *Node) uint64 { return n.sbc.Stats().Probes.Load() }),
		counter("carillon_carrier_probes_failed_total", "OPTIONS sent to carriers that were not answered.",
			func(n *Node) uint64 { return n.sbc.Stats().ProbeFails.Load() }),
		counter("carillon_plain_dropped_total", "Requests inside an encrypted call dropped because they came in the clear.",
			func(n *Node) uint64 { return n.sbc.Stats().PlainDrops.Load() }),
		gauge("carillon_media_sessions", "Calls with media.", func(n *Node) int { return n.media.Stats().Sessions }),
		gauge("carillon_media_ports_used", "Media ports in use.", func(n *Node) int { return n.media.Stats().PortsInUse }),
		gauge("carillon_media_ports_draining", "Media ports resting after their call.", func(n *Node) int { return n.media.Stats().PortsDraining }),
		gauge("carillon_media_ports_idle", "Media ports bound for the next call.", func(n *Node) int { return n.media.Stats().PortsIdle }),
		gauge("carillon_media_ports", "Media ports that calls may use, at all addresses: those of --media-ports, or as many as files may be open.", func(n *Node) int { return n.media.Stats().PortsTotal }),
		counter("carillon_media_ports_reused_total", "Pairs of media ports taken from the idle ones.", func(n *Node) uint64 { return n.media.Stats().PortsReused }),
		counter("carillon_media_ports_hurried_total", "Pairs of media ports that could not rest for the whole drain time, because all others were in use.",
			func(n *Node) uint64 { return n.media.Stats().PortsHurried }),
		counter("carillon_media_ports_strayed_total", "Times a pair of media ports had to rest longer after its call, because somebody still sent to it.",
			func(n *Node) uint64 { return n.media.Stats().PortsStrayed }),
	}
}

// mediaMetrics are those of packets.
func mediaMetrics() []metric {
	return []metric{
		{"carillon_media_packets_total", "Datagrams received on media ports and sent from them.", prometheus.CounterValue, "way", func(n *Node) map[string]float64 {
			s := n.media.Stats()
			return map[string]float64{"received": float64(s.Received), "sent": float64(s.Sent)}
		}},
		{"carillon_media_dropped_total", "Datagrams received on media ports and not relayed, by what was wrong with them; docs/metrics.md explains the words.", prometheus.CounterValue, "why", func(n *Node) map[string]float64 {
			all, s := map[string]float64{}, n.media.Stats()
			for _, d := range drops() {
				all[d.why] = float64(d.count(&s))
			}
			return all
		}},
		counter("carillon_media_checks_total", "Connectivity checks of ICE that were answered.", func(n *Node) uint64 { return n.media.Stats().Checks }),
		counter("carillon_media_old_key_total", "Packets taken under the key before, within the time after a peer changed its key.",
			func(n *Node) uint64 { return n.media.Stats().OldKey }),
		counter("carillon_media_resynced_total", "SRTP streams found again behind a rollover of the sequence number that was missed.",
			func(n *Node) uint64 { return n.media.Stats().Resynced }),
		{"carillon_media_xdp_datagrams_total", "Datagrams that passed the kernel by (--media-xdp), received and sent, and those sent through their socket: next hop not known, doubtful or by another interface, too long, or too many at once.",
			prometheus.CounterValue, "way", func(n *Node) map[string]float64 {
				s := n.media.Stats()
				return map[string]float64{"received": float64(s.FastReceived), "sent": float64(s.FastSent), "socket": float64(s.FastPassed)}
			}},
		counter("carillon_media_xdp_malformed_total", "Frames taken before the kernel and dropped: lengths or checksums that are wrong, sources that are no host's.",
			func(n *Node) uint64 { return n.media.Stats().FastMalformed }),
		counter("carillon_media_xdp_lost_total", "Frames taken before the kernel for which there was no room, because the relay did not fetch fast enough.",
			func(n *Node) uint64 { return n.media.Stats().FastLost }),
		gauge("carillon_media_xdp_destinations", "Addresses of peers for which it is known whether and how media pass the kernel by.",
			func(n *Node) int { return n.media.Stats().FastHops }),
	}
}

func sipMetrics() []metric {
	return []metric{
		counter("carillon_sip_received_total", "SIP messages received.", func(n *Node) uint64 { return n.transport.Stats().Received.Load() }),
		counter("carillon_sip_sent_total", "SIP messages sent.", func(n *Node) uint64 { return n.transport.Stats().Sent.Load() }),
		counter("carillon_sip_repeated_total", "SIP messages sent again.", func(n *Node) uint64 { return n.layer.Stats().Repeats.Load() }),
		counter("carillon_sip_malformed_total", "SIP messages that broke the protocol and were answered.",
			func(n *Node) uint64 { return n.sbc.Stats().Malformed.Load() }),
		counter("carillon_sip_garbage_total", "Datagrams and messages dropped without an answer.",
			func(n *Node) uint64 { return n.transport.Stats().Garbage.Load() }),
		counter("carillon_sip_silent_total", "SIP answers not sent, because they would have been larger than the request.",
			func(n *Node) uint64 { return n.sbc.Stats().Silent.Load() }),
		{"carillon_sip_long_requests_total", "Requests too long for UDP that went over TCP, and peers found to take no TCP, who get them over UDP.",
			prometheus.CounterValue, "way", func(n *Node) map[string]float64 {
				return map[string]float64{"tcp": float64(n.sbc.Stats().Widened.Load()), "udp": float64(n.sbc.Stats().NoTCP.Load())}
			}},
		counter("carillon_sip_callers_regained_total", "Callers answered over another connection, because theirs was gone.",
			func(n *Node) uint64 { return n.sbc.Stats().Regained.Load() }),
		counter("carillon_sip_overloaded_total", "SIP requests met with --max-transactions held.",
			func(n *Node) uint64 { return n.layer.Stats().Overloaded.Load() }),
		{"carillon_sip_transactions", "SIP transactions held.", prometheus.GaugeValue, "side", func(n *Node) map[string]float64 {
			s := n.layer.Stats()
			return map[string]float64{"server": float64(s.ServerNow.Load()), "client": float64(s.ClientNow.Load())}
		}},
		gauge("carillon_sip_connections", "SIP connections accepted and open.", func(n *Node) int { return int(n.transport.Stats().AcceptedNow.Load()) }),
		{"carillon_sip_connections_refused_total", "SIP connections refused or closed by a limit.", prometheus.CounterValue, "limit", func(n *Node) map[string]float64 {
			s := n.transport.Stats()
			return map[string]float64{
				"total": float64(s.OverAccepted.Load()), "per_address": float64(s.OverPerIP.Load()),
				"handshake": float64(s.LateHandshake.Load()), "first_message": float64(s.LateFirst.Load()),
				"message": float64(s.LateMessage.Load()), "idle": float64(s.IdleClosed.Load()), "write": float64(s.WriteStalled.Load()),
				"write_queue": float64(s.QueueFull.Load()), "outgoing": float64(s.OverDialed.Load()), "framing": float64(s.FramingLost.Load()),
			}
		}},
		{"carillon_sip_connects_total", "Connections made to others, those that could not be made, and those given to no further call, because nothing came back on them.", prometheus.CounterValue, "result", func(n *Node) map[string]float64 {
			s := n.transport.Stats()
			return map[string]float64{"made": float64(s.Dialed.Load()), "failed": float64(s.DialErrors.Load()), "retired": float64(s.Retired.Load())}
		}},
		gauge("carillon_sip_connects", "SIP connections to others, open or being made.", func(n *Node) int { return int(n.transport.Stats().DialedNow.Load()) }),
		{"carillon_sip_keepalives_total", "Keep-alives: CRLFs taken, STUN requests answered, and those above the limit of a socket.", prometheus.CounterValue, "kind", func(n *Node) map[string]float64 {
			s := n.transport.Stats()
			return map[string]float64{"crlf": float64(s.KeepAlives.Load()), "stun": float64(s.STUN.Load()), "stun_dropped": float64(s.STUNDropped.Load())}
		}},
		counter("carillon_sip_proxied_total", "SIP connections that a load balancer of --proxy-protocol gave a source.",
			func(n *Node) uint64 { return n.transport.Stats().Proxied.Load() }),
		{"carillon_sip_proxy_headers_refused_total", "Connections closed for want of a good PROXY protocol header, or because of one from an address that is not listed.",
			prometheus.CounterValue, "why", func(n *Node) map[string]float64 {
				s := n.transport.Stats()
				return map[string]float64{
					"malformed": float64(s.BadProxy.Load()), "late": float64(s.LateProxy.Load()),
					"not_listed": float64(s.StrangeProxy.Load()), "api": float64(n.apiProxyRefused.Load()),
				}
			}},
		counter("carillon_sip_connections_reused_total", "Calls sent over a connection that the customer had opened and proven its name on.",
			func(n *Node) uint64 { return n.transport.Stats().Reused.Load() }),
		gauge("carillon_tls_certificate_expiry_seconds", "When the first of the node's certificates ends, in seconds since 1970: those of --tls-cert, without them the own CA's.",
			func(n *Node) int { return int(n.identity.firstEnd().Unix()) }),
		counter("carillon_sip_handshakes_failed_total", "TLS handshakes that ended badly.", func(n *Node) uint64 { return n.transport.Stats().HandshakeFail.Load() }),
	}
}

// resolverMetrics are those of the look-ups that find where to send a call.
func resolverMetrics() []metric {
	return []metric{
		{"carillon_resolver_lookups_total", "Record sets looked for: found in the cache, not there, past their time and used because servers failed, not asked for because too many look-ups were under way.",
			prometheus.CounterValue, "result", func(n *Node) map[string]float64 {
				s := n.resolver.Stats()
				return map[string]float64{"hit": float64(s.Hits), "miss": float64(s.Misses), "stale": float64(s.Stale), "busy": float64(s.Busy)}
			}},
		{"carillon_resolver_queries_total", "Questions to name servers: all, those repeated, those that nobody answered, and answers to another question.",
			prometheus.CounterValue, "kind", func(n *Node) map[string]float64 {
				s := n.resolver.Stats()
				return map[string]float64{
					"sent": float64(s.Queries), "repeated": float64(s.Retries), "failed": float64(s.Failures), "mismatched": float64(s.Mismatched),
				}
			}},
		gauge("carillon_resolver_cached", "Record sets in the cache.", func(n *Node) int { return n.resolver.Stats().Entries }),
	}
}

func stateMetrics() []metric {
	return []metric{
		counter("carillon_metrics_connections_closed_total", "Connections to the metrics closed while they waited, in favour of a new one.",
			func(n *Node) uint64 {
				s := n.metricsConnections.Stats()
				return uint64(s.ClosedTotal + s.ClosedPerIP + s.Refused)
			}),
		gauge("carillon_api_connections", "Connections to the API that are open.", func(n *Node) int { return int(n.apiConnections.Stats().Open) }),
		{"carillon_api_connections_closed_total", "Connections to the API closed by a limit: while they waited, in favour of a new one, or refused because all others were at work.",
			prometheus.CounterValue, "limit", func(n *Node) map[string]float64 {
				s := n.apiConnections.Stats()
				return map[string]float64{"total": float64(s.ClosedTotal), "per_address": float64(s.ClosedPerIP), "refused": float64(s.Refused)}
			}},
		gauge("carillon_store_revision", "Revision of the store that this node serves.", func(n *Node) int { return int(n.directory.Snapshot().Revision()) }),
		gauge("carillon_connectors", "Connectors.", func(n *Node) int { return n.directory.Snapshot().CountConnectors("") }),
		counter("carillon_store_updates_total", "Transactions committed.", func(n *Node) uint64 { return n.store.Stats().Updates }),
		counter("carillon_store_reruns_total", "Transactions run again because others had changed what they read.",
			func(n *Node) uint64 { return n.store.Stats().Reruns }),
		counter("carillon_store_turns_total", "Turns taken by transactions for records that others of this node write at the same time.",
			func(n *Node) uint64 { return n.store.Stats().Turns }),
		counter("carillon_store_batches_total", "Writes to the store's log: each commits the transactions that came since the last.",
			func(n *Node) uint64 { return n.store.Stats().Batches }),
		counter("carillon_store_batches_full_total", "Batches that could not take all transactions that waited.",
			func(n *Node) uint64 { return n.store.Stats().BatchesFull }),
		counter("carillon_store_batches_divided_total", "Batches the store did not take as they were and that were sent again in parts.",
			func(n *Node) uint64 { return n.store.Stats().BatchesDivided }),
		counter("carillon_store_batches_unheld_total", "Batches that could not hold as a whole and were sent again so that each write holds or fails alone.",
			func(n *Node) uint64 { return n.store.Stats().BatchesUnheld }),
		counter("carillon_store_no_room_total", "Writes refused to leave room on the disk for those of the store itself.",
			func(n *Node) uint64 { return n.store.Stats().NoRoom }),
		counter("carillon_store_reserved_total", "Tenants' writes refused to leave the rest of the embedded store's quota to operators.",
			func(n *Node) uint64 { return n.store.Stats().Reserved }),
		gauge("carillon_store_database_bytes", "Size of the embedded store's database.",
			func(n *Node) int { return int(n.store.Stats().DatabaseBytes) }),
		gauge("carillon_store_quota_bytes", "Bound of the embedded store's database; 0 with an external cluster.",
			func(n *Node) int { return int(n.store.Stats().QuotaBytes) }),
		counter("carillon_store_restarts_total", "Times the embedded store was started again after a fault of the disk.",
			func(n *Node) uint64 { return n.store.Stats().Restarts }),
		counter("carillon_store_mended_total", "Times room was made in the embedded store's database, which had reached its reserve.",
			func(n *Node) uint64 { return n.store.Stats().Mended }),
		counter("carillon_store_unavailable_total", "Transactions given up because of the store.", func(n *Node) uint64 { return n.store.Stats().Unavailable }),
		counter("carillon_numbers_swept_total", "Phone numbers put back into the pool at the end of their time in the deletion queue.",
			func(n *Node) uint64 { return n.sweeper.swept.Load() }),
		counter("carillon_records_syncs_total", "Writes to the log of call records: each makes the records durable that came since the last.",
			func(n *Node) uint64 { return n.records.Stats().Syncs }),
		gauge("carillon_records_recent", "Call records in memory, to be exported.", func(n *Node) int { return n.records.Stats().Recent }),
		counter("carillon_records_read_back_total", "Call records read from the disk to be exported.",
			func(n *Node) uint64 { return n.records.Stats().ReadBack }),
		{"carillon_audit_entries_dropped_total", "Entries of the audit log removed, by the bound they were beyond.", prometheus.CounterValue, "bound", func(n *Node) map[string]float64 {
			s := n.store.Stats()
			return map[string]float64{"keep": float64(s.AuditAged), "entries": float64(s.AuditCrowded)}
		}},
		gauge("carillon_records_bytes", "Size of the log of call records.", func(n *Node) int { return int(n.records.Stats().Bytes) }),
	}
}

// collector reads the planes' counters when it is asked.
type collector struct {
	node  *Node
	rows  []metric
	descs []*prometheus.Desc
}

func newCollector(n *Node) *collector {
	c := &collector{node: n, rows: metrics()}
	for _, m := range c.rows {
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for i, m := range c.rows {
		for label, v := range m.read(c.node) {
			if m.label == "" {
				ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v)
			} else {
				ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, label)
			}
		}
	}
}
