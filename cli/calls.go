package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "carillon/api/v1"
	"carillon/call"
	"carillon/trunk"
)

type callsCommand struct {
	List callsListCommand `cmd:"" help:"List calls that have ended, the last one first; carillon_calls_active of the metrics counts those that are up."`
	Show callsShowCommand `cmd:"" help:"Show the record of a call: who, where, how long, and what was encrypted."`
}

type callsListCommand struct {
	nodeFlags
	Connector string `placeholder:"VCID" help:"Only those of a connector."`
	Account   string `placeholder:"ID" help:"Only those of an account."`
	Number    string `placeholder:"NUMBER" help:"Only those from a number or to it, as a record has it: +12065550100."`
	Reason    string `placeholder:"NAME" help:"Only those that ended so, for example media_not_encrypted."`
	Since     string `placeholder:"TIME" help:"Only those that began from then on: a time such as 2026-11-23T09:30:00Z, a day, or how long ago, such as 24h or 7d."`
	Max       int    `default:"20" placeholder:"N" help:"How many, at most."`
}

func (c *callsListCommand) run(ctx context.Context, s *session) error {
	if c.Max < 1 {
		return usage("--max is at least 1.")
	}
	since, err := momentFlag(v1.QuerySince, c.Since, s.clock.Now())
	if err != nil {
		return err
	}
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, value := range map[string]string{
		v1.QueryConnector: c.Connector, v1.QueryAccount: c.Account, v1.QueryNumber: c.Number, v1.QueryReason: c.Reason, v1.QuerySince: since,
	} {
		setIf(query, name, value)
	}
	all := v1.CallList{Calls: []v1.Call{}}
	err = pages(ctx, node, v1.Calls, query, c.Max, func(page v1.CallList) (int, *string) {
		all.Calls, all.NextToken = append(all.Calls, page.Calls...), page.NextToken
		return len(all.Calls), page.NextToken
	})
	if err != nil {
		return err
	}
	if len(all.Calls) == 0 && c.Connector != "" {
		// A connector that is gone has records still; one that never was is a slip. Who may not ask has an empty list.
		var settings v1.Settings
		err := node.own(ctx, http.MethodGet, v1.Connectors+"/"+url.PathEscape(c.Connector)+"/settings", nil, &settings)
		if err = noConnector(err, c.Connector); trunk.KindOf(err) == trunk.NotFound {
			return err
		}
	}
	if c.JSON {
		return printJSON(s.Out, all)
	}
	var t table
	t.add("id", "start", "direction", "from", "to", "status", "reason", "talked", "customer leg", "carrier leg")
	for _, r := range all.Calls {
		t.add(string(r.ID), stamp(r.Start), r.Direction, dash(r.From), dash(r.To), strconv.Itoa(r.Status), r.Reason,
			dash(talked(r)), padlock(r.Customer), padlock(r.CarrierLeg))
	}
	return t.print(s.Out)
}

// talked is how long both sides were connected; empty for a call that was not answered.
func talked(r v1.Call) string {
	if r.Answered.IsZero() {
		return ""
	}
	return r.End.Sub(r.Answered).Round(100 * time.Millisecond).String()
}

// padlock says in a word how a leg's signalling and media went.
func padlock(l call.LegRecord) string {
	switch {
	case l.Media.Suite != "":
		return l.Transport + "+srtp"
	case l.Media.Profile != "":
		return l.Transport + "+rtp"
	}
	return dash(l.Transport)
}

type callsShowCommand struct {
	nodeFlags
	ID string `arg:"" name:"call" help:"Call id."`
}

func (c *callsShowCommand) run(ctx context.Context, s *session) error {
	node, err := c.connect(s)
	if err != nil {
		return err
	}
	var r v1.Call
	if err := node.own(ctx, http.MethodGet, v1.Calls+"/"+url.PathEscape(c.ID), nil, &r); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, r)
	}
	return printCall(s, r)
}

func printCall(s *session, r v1.Call) error {
	encryption := "not required"
	if r.RequireEncryption {
		encryption = "required"
	}
	rows := [][2]string{
		{"call", string(r.ID)}, {"account", r.Account}, {"connector", r.ConnectorID},
		{"encryption", encryption + ", revision " + strconv.FormatInt(r.Revision, 10)},
		{"direction", r.Direction}, {"from", r.From}, {"to", r.To}, {"caller id sent", r.CallerIDReplaced}, {"digest user", r.AuthUser},
		{"carrier", r.Carrier}, {"start", stamp(r.Start)}, {"answered", stamp(r.Answered)}, {"end", stamp(r.End)}, {"talked", talked(r)},
		{"status", strconv.Itoa(r.Status)}, {"reason", r.Reason}, {"why", r.Sentence}, {"what changes it", r.Fix}, {"hung up by", r.HungUpBy},
		{"transfer of", string(r.TransferOf)}, {"transferred to", string(r.TransferredTo)},
	}
	for _, f := range r.FailedTransfers {
		text := fmt.Sprintf("%s to %s: %d %s", stamp(f.At), dash(f.To), f.Status, strings.TrimSpace(f.Sentence+" "+f.Fix))
		rows = append(rows, [2]string{"not transferred", text})
	}
	several := slices.ContainsFunc(r.Attempts, func(a call.Attempt) bool { return a.ConnectorID != r.Attempts[0].ConnectorID })
	for _, a := range r.Attempts {
		rows = append(rows, [2]string{"tried", tried(a, several)})
	}
	// A phone proves itself by its address or its password; that it has no certificate, as most have none, is no fault.
	strange := map[bool]string{true: "no verified client certificate", false: "peer not verified"}
	outbound := r.Direction == call.Outbound.String()
	rows = append(rows, legRows("customer leg", r.Customer, strange[outbound])...)
	if r.Remaining != nil {
		rows = append(rows, legRows("remaining leg", *r.Remaining, strange[false])...)
	}
	rows = append(rows, legRows("carrier leg", r.CarrierLeg, strange[!outbound])...)
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(s.Out, "%-16s %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// tried says what became of a target, and of several connectors which one's it is.
func tried(a call.Attempt, several bool) string {
	words := []string{a.Target}
	if several && a.ConnectorID != "" {
		words = append(words, "of "+a.ConnectorID)
	}
	if a.Status != 0 {
		words = append(words, strconv.Itoa(a.Status))
	}
	if a.Error != "" {
		words = append(words, a.Error)
	}
	said := strings.Join(words, " ")
	if a.Cause != "" {
		said += ": " + a.Cause
	}
	return said
}

func micros(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

// quality says how the leg's peer sounded and, where it reports it, how it heard the other side; empty where nothing came.
func quality(m call.LegReport) string {
	var parts []string
	if m.MOS > 0 {
		parts = append(parts, fmt.Sprintf("MOS %.2f received", m.MOS))
	}
	if m.MOSSent > 0 {
		parts = append(parts, fmt.Sprintf("%.2f sent (%d lost, jitter %s)", m.MOSSent, m.LostSent, micros(m.JitterSentMicros)))
	}
	if m.RoundTripMicros > 0 {
		parts = append(parts, "round trip "+micros(m.RoundTripMicros).String())
	}
	if m.LongestGapMicros > 0 {
		parts = append(parts, "longest gap "+micros(m.LongestGapMicros).Round(time.Millisecond).String())
	}
	if m.OneWaySeconds > 0 {
		parts = append(parts, fmt.Sprintf("%d s silent while spoken to", m.OneWaySeconds))
	}
	return strings.Join(parts, ", ")
}

// legRows describes a leg; strange is what is said of a peer whose certificate does not prove who it is.
func legRows(name string, l call.LegRecord, strange string) [][2]string {
	if l.Transport == "" {
		return nil
	}
	signalling := l.Transport
	if l.Remote != (netip.AddrPort{}) {
		signalling += " " + l.Remote.String()
	}
	if l.TLSVersion != "" {
		peer := "peer " + strings.ReplaceAll(string(l.Peer), "_", " ")
		if l.Peer == call.PeerNotVerified {
			peer = strange
		}
		signalling += ", " + l.TLSVersion + " " + l.Cipher + ", " + peer
	}
	rows := [][2]string{{name, signalling}}
	m := l.Media
	if m.Profile == "" {
		return rows
	}
	media := m.Profile
	if m.Suite != "" {
		media += " " + m.Suite
	}
	return append(rows,
		[2]string{"  media", media + " " + m.Codec},
		[2]string{"  addresses", addresses(m)},
		[2]string{"  packets", fmt.Sprintf("%d received, %d sent, %d lost, jitter %s", m.PacketsReceived, m.PacketsSent, m.Lost, micros(m.JitterMicros))},
		[2]string{"", strangers(m)},
		[2]string{"", usedUp(m)},
		[2]string{"  quality", quality(m)},
		[2]string{"  protection", fmt.Sprintf("sent encrypted %d, received and verified %d, wrong tags %d, replays %d, plain dropped %d, plain sent %d", m.Protected, m.Unprotected, m.AuthFailures, m.Replays, m.PlainDropped, m.PlainSent)},
	)
}

// addresses says between which addresses media went; the peer's is not every reader's to know.
func addresses(m call.LegReport) string {
	var parts []string
	for _, end := range []struct {
		name string
		at   netip.AddrPort
	}{{"node", m.Local}, {"peer", m.Remote}} {
		if end.at.IsValid() {
			parts = append(parts, end.name+" "+end.at.String())
		}
	}
	return strings.Join(parts, ", ")
}

// usedUp says how many packets nobody heard because the peer went on under a key whose lifetime was over.
func usedUp(m call.LegReport) string {
	if m.KeyUsedUp == 0 {
		return ""
	}
	return fmt.Sprintf("%d dropped: the lifetime of the peer's SRTP key, from its a=crypto line, was over", m.KeyUsedUp)
}

// strangers says how many packets nobody heard because of where they came from: with all of them the call is silent one way.
func strangers(m call.LegReport) string {
	switch {
	case m.WrongSource == 0:
		return ""
	case m.Remote.IsValid():
		return fmt.Sprintf("%d dropped: they came from another address than %s", m.WrongSource, m.Remote)
	}
	return fmt.Sprintf("%d dropped: they came from another address than the peer's", m.WrongSource)
}
