package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"carillon/call"
)

// registerMetrics exposes what the planes count. The planes keep plain counters; only here do they get Prometheus names.
func (n *Node) registerMetrics() {
	n.metrics.MustRegister(collector{n})
}

// collector reads the planes' counters when it is asked.
type collector struct{ n *Node }

// Describe implements prometheus.Collector. It sends nothing: the metrics follow from the planes' own tables.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	n := c.n
	s := n.sbc.Stats()
	gauge(ch, "carillon_calls_active", "Calls up.", float64(n.sbc.Active()))
	count(ch, "carillon_calls_total", "Calls let in.", s.Calls.Load())
	count(ch, "carillon_calls_answered_total", "Calls answered.", s.Answered.Load())
	count(ch, "carillon_options_answered_total", "OPTIONS answered with 200.", s.Options.Load())
	count(ch, "carillon_sip_malformed_total", "SIP messages that broke the protocol.", s.Malformed.Load())
	count(ch, "carillon_sip_silent_total", "SIP answers not sent because they would have been larger than the request.", s.Silent.Load())
	count(ch, "carillon_sip_plain_dropped_total", "In-dialog requests dropped because they came in the clear to an encrypted leg.", s.PlainDrops.Load())
	count(ch, "carillon_call_mailbox_full_total", "In-dialog requests refused because their call's mailbox was full.", s.Overflows.Load())
	count(ch, "carillon_refusals_unrecorded_total", "Refused calls without a record because of the limit on such records.", s.Unrecorded.Load())
	count(ch, "carillon_records_failed_total", "Call records that could not be written.", s.RecordFails.Load())
	for _, r := range call.Reasons() {
		count(ch, "carillon_requests_refused_total", "Requests refused, by reason.", s.Refused(r), "reason", r.String())
		count(ch, "carillon_calls_ended_total", "Calls ended, by reason.", s.Ended(r), "reason", r.String())
	}
	n.collectTransport(ch)
	n.collectMedia(ch)
}

func (n *Node) collectTransport(ch chan<- prometheus.Metric) {
	t, x := n.transport.Stats(), n.layer.Stats()
	gauge(ch, "carillon_sip_connections", "SIP connections open, accepted ones.", float64(t.AcceptedNow.Load()))
	gauge(ch, "carillon_sip_transactions", "SIP transactions held, by side.", float64(x.ServerNow.Load()), "side", "server")
	gauge(ch, "carillon_sip_transactions", "SIP transactions held, by side.", float64(x.ClientNow.Load()), "side", "client")
	count(ch, "carillon_sip_messages_received_total", "SIP messages received.", t.Received.Load())
	count(ch, "carillon_sip_messages_sent_total", "SIP messages sent.", t.Sent.Load())
	count(ch, "carillon_sip_garbage_total", "Datagrams and messages dropped without an answer.", t.Garbage.Load())
	count(ch, "carillon_sip_connections_refused_total", "SIP connections refused by a limit.", t.OverAccepted.Load()+t.OverPerIP.Load())
	count(ch, "carillon_sip_overloaded_total", "Requests refused because too many transactions are held.", x.Overloaded.Load())
	count(ch, "carillon_sip_retransmissions_total", "SIP messages sent again.", x.Repeats.Load())
}

func (n *Node) collectMedia(ch chan<- prometheus.Metric) {
	m := n.media.Stats()
	gauge(ch, "carillon_media_sessions", "Calls with media.", float64(m.Sessions))
	gauge(ch, "carillon_media_ports_used", "Media ports in use.", float64(m.PortsInUse))
	gauge(ch, "carillon_media_ports_draining", "Media ports still bound after their call.", float64(m.PortsDraining))
}

func gauge(ch chan<- prometheus.Metric, name, help string, v float64, labels ...string) {
	emit(ch, prometheus.GaugeValue, name, help, v, labels)
}

func count(ch chan<- prometheus.Metric, name, help string, v uint64, labels ...string) {
	emit(ch, prometheus.CounterValue, name, help, float64(v), labels)
}

// emit sends one metric; labels are a name and its value.
func emit(ch chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}
