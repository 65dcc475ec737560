package transaction

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// figure is one state machine of RFC 3261 section 17, as RFC 6026 section 8 has it for INVITE: what each event does in
// each state. A cell lists what is sent, what the user is told and the next state; "nothing" stands for none of them.
// Rows are separated by lines, columns by bars; a star marks a cell that departs from the figure, see departures.
type figure struct {
	name  string
	drive func(*machine)
	// events are all there are for this machine: those of its figure and, after it, of section 9 and of section 18.
	events []string
	// udp and tls are the cells on unreliable and on reliable transports. A state that a reliable transport passes
	// through in no time, its timer being zero there, has no column in tls.
	udp, tls string
	// passed are those states.
	passed []string
}

var figures = []figure{
	{
		name: "INVITE client (RFC 3261 figure 5, RFC 6026 section 8.4)", drive: driveInviteClient, passed: []string{"Completed"},
		events: []string{"1xx", "2xx", "300-699", "Timer A", "Timer B", "Timer D", "Timer M", "transport error", "CANCEL from TU"},
		udp: `
                |Calling                            |Proceeding                        |Completed |Accepted  |Terminated
1xx             |tell 180, to Proceeding            |tell 180                          |nothing   |nothing   |stray 180
2xx             |tell 200, to Accepted              |tell 200, to Accepted             |nothing   |tell 200  |stray 200
300-699         |send ACK, tell 486, to Completed   |send ACK, tell 486, to Completed  |send ACK  |nothing   |stray 486
Timer A         |send INVITE                        |nothing                           |nothing   |nothing   |nothing
Timer B         |tell Timeout, to Terminated        |nothing                           |nothing   |nothing   |nothing
Timer D         |nothing                            |nothing                           |to Terminated|nothing|nothing
Timer M         |nothing                            |nothing                           |nothing   |to Terminated|nothing
transport error |tell TransportError, to Terminated |nothing                           |*nothing  |nothing   |nothing
CANCEL from TU  |nothing                            |send CANCEL                       |nothing   |nothing   |nothing`,
		tls: `
                |Calling                            |Proceeding                        |Accepted      |Terminated
1xx             |tell 180, to Proceeding            |tell 180                          |nothing       |stray 180
2xx             |tell 200, to Accepted              |tell 200, to Accepted             |tell 200      |stray 200
300-699         |send ACK, tell 486, to Terminated  |send ACK, tell 486, to Terminated |nothing       |stray 486
Timer A         |nothing                            |nothing                           |nothing       |nothing
Timer B         |tell Timeout, to Terminated        |nothing                           |nothing       |nothing
Timer D         |nothing                            |nothing                           |nothing       |nothing
Timer M         |nothing                            |nothing                           |to Terminated |nothing
transport error |tell TransportError, to Terminated |*tell TransportError, to Terminated|nothing      |nothing
CANCEL from TU  |nothing                            |send CANCEL                       |nothing       |nothing`,
	},
	{
		name: "non-INVITE client (RFC 3261 figure 6)", drive: driveClient, passed: []string{"Completed"},
		events: []string{"1xx", "200-699", "Timer E", "Timer F", "Timer K", "transport error", "CANCEL from TU"},
		udp: `
                |Trying                             |Proceeding                         |Completed     |Terminated
1xx             |tell 180, to Proceeding            |tell 180                           |nothing       |stray 180
200-699         |tell 486, to Completed             |tell 486, to Completed             |nothing       |stray 486
Timer E         |send BYE                           |send BYE                           |nothing       |nothing
Timer F         |tell Timeout, to Terminated        |tell Timeout, to Terminated        |nothing       |nothing
Timer K         |nothing                            |nothing                            |to Terminated |nothing
transport error |tell TransportError, to Terminated |tell TransportError, to Terminated |nothing       |nothing
CANCEL from TU  |nothing                            |nothing                            |nothing       |nothing`,
		tls: `
                |Trying                             |Proceeding                         |Terminated
1xx             |tell 180, to Proceeding            |tell 180                           |stray 180
200-699         |tell 486, to Terminated            |tell 486, to Terminated            |stray 486
Timer E         |nothing                            |nothing                            |nothing
Timer F         |tell Timeout, to Terminated        |tell Timeout, to Terminated        |nothing
Timer K         |nothing                            |nothing                            |nothing
transport error |tell TransportError, to Terminated |tell TransportError, to Terminated |nothing
CANCEL from TU  |nothing                            |nothing                            |nothing`,
	},
	{
		name: "INVITE server (RFC 3261 figure 7, RFC 6026 section 8.7)", drive: driveInviteServer, passed: []string{"Confirmed"},
		events: []string{"INVITE", "ACK", "101-199 from TU", "2xx from TU", "300-699 from TU", "Timer G", "Timer H", "Timer I", "Timer L", "transport error", "CANCEL", "ACK of the 2xx at TU"},
		udp: `
                |Proceeding              |Completed                   |Confirmed     |Accepted                   |Terminated
INVITE          |send 180                |send 486                    |nothing       |nothing                    |new INVITE
ACK             |nothing                 |tell Acked, to Confirmed    |nothing       |core ACK                   |core ACK
101-199 from TU |send 183                |refused                     |refused       |refused                    |refused
2xx from TU     |send 200, to Accepted   |refused                     |refused       |send 200                   |refused
300-699 from TU |send 486, to Completed  |refused                     |refused       |refused                    |refused
Timer G         |nothing                 |send 486                    |nothing       |*send 200                  |nothing
Timer H         |nothing                 |*tell Timeout, to Terminated|nothing       |nothing                    |nothing
Timer I         |nothing                 |nothing                     |to Terminated |nothing                    |nothing
Timer L         |nothing                 |nothing                     |nothing       |*tell NoAck, to Terminated |nothing
transport error |tell TransportError     |tell TransportError         |nothing       |tell TransportError        |nothing
CANCEL          |send 200, tell Cancelled|send 200                    |send 200      |send 200                   |new CANCEL
ACK of the 2xx at TU|nothing             |nothing                     |nothing       |nothing                    |nothing`,
		tls: `
                |Proceeding              |Completed                   |Accepted                   |Terminated
INVITE          |*nothing                |*nothing                    |nothing                    |new INVITE
ACK             |nothing                 |tell Acked, to Terminated   |core ACK                   |core ACK
101-199 from TU |send 183                |refused                     |refused                    |refused
2xx from TU     |send 200, to Accepted   |refused                     |send 200                   |refused
300-699 from TU |send 486, to Completed  |refused                     |refused                    |refused
Timer G         |nothing                 |nothing                     |*send 200                  |nothing
Timer H         |nothing                 |*tell Timeout, to Terminated|nothing                    |nothing
Timer I         |nothing                 |nothing                     |nothing                    |nothing
Timer L         |nothing                 |nothing                     |*tell NoAck, to Terminated |nothing
transport error |tell TransportError     |nothing                     |tell TransportError        |nothing
CANCEL          |send 200, tell Cancelled|send 200                    |send 200                   |new CANCEL
ACK of the 2xx at TU|nothing             |nothing                     |nothing                    |nothing`,
	},
	{
		name: "non-INVITE server (RFC 3261 figure 8)", drive: driveServer, passed: []string{"Completed"},
		events: []string{"request", "1xx from TU", "200-699 from TU", "Timer J", "transport error", "ACK"},
		udp: `
                |Trying                  |Proceeding                |Completed     |Terminated
request         |nothing                 |send 180                  |send 486      |new BYE
1xx from TU     |send 183, to Proceeding |send 183                  |refused       |refused
200-699 from TU |send 486, to Completed  |send 486, to Completed    |refused       |refused
Timer J         |nothing                 |nothing                   |to Terminated |nothing
transport error |nothing                 |*tell TransportError      |*nothing      |nothing
ACK             |core ACK                |core ACK                  |core ACK      |core ACK`,
		tls: `
                |Trying                  |Proceeding                |Terminated
request         |nothing                 |*nothing                  |new BYE
1xx from TU     |send 183, to Proceeding |send 183                  |refused
200-699 from TU |send 486, to Terminated |send 486, to Terminated   |refused
Timer J         |nothing                 |nothing                   |nothing
transport error |nothing                 |*tell TransportError      |nothing
ACK             |core ACK                |core ACK                  |core ACK`,
	},
}

// departures are the cells that differ from the figures: "figure, transport: event in state", and why.
var departures = map[string]string{
	"INVITE client, UDP: transport error in Completed":      "the user has its answer; the peer repeats it when the ACK is lost, and the next ACK may get through",
	"INVITE client, TLS: transport error in Proceeding":     "the figure knows sending alone; no answer can come over a connection that has closed",
	"INVITE server, UDP: Timer G in Accepted":               "the 2xx is repeated for the user, who has to by section 13.3.1.4, until he has found its ACK",
	"INVITE server, TLS: Timer G in Accepted":               "as over UDP: section 13.3.1.4 asks for it on every transport",
	"INVITE server, UDP: Timer H in Completed":              "RFC 3261 has the user told; RFC 6026 does not, and it does no harm",
	"INVITE server, TLS: Timer H in Completed":              "as over UDP",
	"INVITE server, UDP: Timer L in Accepted":               "the user is told that no ACK has come, who then ends the call (section 13.3.1.4)",
	"INVITE server, TLS: Timer L in Accepted":               "as over UDP",
	"INVITE server, TLS: INVITE in Proceeding":              "nobody repeats over a reliable transport: what was said is not kept",
	"INVITE server, TLS: INVITE in Completed":               "nobody repeats over a reliable transport: what was said is not kept",
	"non-INVITE server, TLS: request in Proceeding":         "nobody repeats over a reliable transport: what was said is not kept",
	"non-INVITE server, UDP: transport error in Proceeding": "it stays, as RFC 6026 has it for INVITE: the user may send the answer another way (section 18.2.2)",
	"non-INVITE server, TLS: transport error in Proceeding": "it stays, as RFC 6026 has it for INVITE: the user may send the answer another way (section 18.2.2)",
	"non-INVITE server, UDP: transport error in Completed":  "the user was told when the answer went out first; its repetitions are nobody's news",
}

// TestFigures checks every event in every state against the figures, on both kinds of transport.
func TestFigures(t *testing.T) {
	starred := map[string]bool{}
	for _, f := range figures {
		short, _, _ := strings.Cut(f.name, " (")
		for proto, text := range map[transport.Proto]string{transport.UDP: f.udp, transport.TLS: f.tls} {
			t.Run(short+", "+proto.String(), func(t *testing.T) {
				cells, states := readCells(t, text)
				f.checkStates(t, proto, states)
				for _, event := range f.events {
					for _, state := range states {
						want, has := cells[[2]string{event, state}]
						if !has {
							t.Errorf("there is no cell for %s in %s", event, state)
							continue
						}
						delete(cells, [2]string{event, state})
						if strings.HasPrefix(want, "*") {
							starred[short+", "+proto.String()+": "+event+" in "+state] = true
						}
						m := newMachine(t, proto, state, event)
						f.drive(m)
						if got := m.outcome(); got != strings.TrimPrefix(want, "*") {
							t.Errorf("%s in %s: %s; want %s", event, state, got, want)
						}
					}
				}
				for c := range cells {
					t.Errorf("%s in %s is no cell of the machine", c[0], c[1])
				}
			})
		}
	}
	for cell := range starred {
		if departures[cell] == "" {
			t.Errorf("%s departs from its figure, and departures does not say why", cell)
		}
	}
	for cell := range departures {
		if !starred[cell] {
			t.Errorf("%s is in departures and departs from nothing", cell)
		}
	}
}

// statesOf are the states of each figure.
var statesOf = map[string][]string{
	"INVITE client":     {"Calling", "Proceeding", "Completed", "Accepted", "Terminated"},
	"non-INVITE client": {"Trying", "Proceeding", "Completed", "Terminated"},
	"INVITE server":     {"Proceeding", "Completed", "Confirmed", "Accepted", "Terminated"},
	"non-INVITE server": {"Trying", "Proceeding", "Completed", "Terminated"},
}

// checkStates: a table has a column for every state, but for those a reliable transport passes through.
func (f figure) checkStates(t *testing.T, proto transport.Proto, columns []string) {
	short, _, _ := strings.Cut(f.name, " (")
	for _, state := range statesOf[short] {
		passes := proto.Reliable() && slices.Contains(f.passed, state)
		if has := slices.Contains(columns, state); has == passes {
			t.Errorf("%s has a column: %v; want %v", state, has, !passes)
		}
		if !passes {
			continue
		}
		m := newMachine(t, proto, state, "nothing")
		if f.drive(m); m.state() != "Terminated" {
			t.Errorf("%s is held in %s, which a reliable transport passes through", f.name, m.state())
		}
	}
	if extra := len(columns) - len(statesOf[short]); extra > 0 {
		t.Errorf("the columns are %v", columns)
	}
}

func readCells(t *testing.T, text string) (cells map[[2]string]string, states []string) {
	cells = map[[2]string]string{}
	lines := strings.Split(strings.TrimPrefix(text, "\n"), "\n")
	for _, name := range strings.Split(lines[0], "|")[1:] {
		states = append(states, strings.TrimSpace(name))
	}
	for _, line := range lines[1:] {
		parts := strings.Split(line, "|")
		if len(parts) != len(states)+1 {
			t.Fatalf("%q has %d cells, want %d", line, len(parts)-1, len(states))
		}
		for i, p := range parts[1:] {
			cells[[2]string{strings.TrimSpace(parts[0]), states[i]}] = strings.TrimSpace(p)
		}
	}
	return cells, states
}

// machine is one transaction that is brought into a state and then meets an event.
type machine struct {
	*harness
	enter, event string
	client       *Client
	request      siptest.Request
	started      bool // the event is next: what was sent and told before does not count
	sent, told   int
	before       string
	refused      bool
}

// one is the duration of the timer that an event is about; every other one never fires.
const one, endless = 2 * time.Second, 10_000 * time.Hour

func newMachine(t *testing.T, proto transport.Proto, state, event string) *machine {
	timers := Timers{T1: endless, T2: endless, T4: endless, B: endless, D: endless, F: endless, H: endless, I: endless, J: endless,
		K: endless, L: endless, M: endless, Cancelled: endless}
	if name, ok := strings.CutPrefix(event, "Timer "); ok {
		*map[string]*time.Duration{"A": &timers.T1, "E": &timers.T1, "G": &timers.T1, "B": &timers.B, "D": &timers.D, "F": &timers.F,
			"H": &timers.H, "I": &timers.I, "J": &timers.J, "K": &timers.K, "L": &timers.L, "M": &timers.M}[name] = one
	}
	if event == "transport error" {
		timers.T1 = one // the next repetition fails
	}
	return &machine{harness: newHarness(t, proto, timers), enter: state, event: event}
}

// meet begins the event.
func (m *machine) meet() {
	m.sent, m.told, m.before = len(m.near.Sent()), len(m.log), m.state()
	m.started = true
	if strings.HasPrefix(m.event, "Timer ") {
		m.clock.Advance(one + coarseTick)
	}
}

// state names the transaction's state.
func (m *machine) state() string {
	s, first := stateTerminated, "Calling"
	switch {
	case m.client != nil:
		m.client.mu.Lock()
		s = m.client.state
		m.client.mu.Unlock()
		if m.client.method != sip.Invite {
			first = "Trying"
		}
	default:
		m.server.mu.Lock()
		s = m.server.state
		m.server.mu.Unlock()
		first = "Trying"
	}
	return map[state]string{stateTrying: first, stateProceeding: "Proceeding", stateAccepted: "Accepted", stateCompleted: "Completed",
		stateConfirmed: "Confirmed", stateTerminated: "Terminated"}[s]
}

// outcome is what the event did.
func (m *machine) outcome() string {
	m.t.Helper()
	if !m.started {
		m.t.Fatal("the event did not happen")
	}
	if m.before != m.enter {
		return "was in " + m.before + " and not in " + m.enter
	}
	var parts []string
	for _, s := range m.near.Sent()[m.sent:] {
		parts = append(parts, "send "+s.What())
	}
	for _, line := range m.log[m.told:] {
		_, what, _ := strings.Cut(line, " ")
		what, _, _ = strings.Cut(what, ":")
		if what != "core ACK" && !strings.HasPrefix(what, "stray ") && !strings.HasPrefix(what, "new ") {
			what = "tell " + what
		}
		parts = append(parts, what)
	}
	if m.refused {
		parts = append(parts, "refused")
	}
	after := m.after()
	if after != m.before {
		parts = append(parts, "to "+after)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// after is the state at the end, which must be what the layer's tables say.
func (m *machine) after() string {
	m.t.Helper()
	after := m.state()
	clients, _ := m.layer.clients.left()
	if m.client != nil && m.event != "CANCEL from TU" && (clients == 0) != (after == "Terminated") {
		m.t.Errorf("%s in %s: in %s with %d transactions in the table", m.event, m.enter, after, clients)
	}
	return after
}

// driveInviteClient brings an INVITE client into its state and does the event.
func driveInviteClient(m *machine) {
	m.client = m.start("INVITE", nil)
	switch m.enter {
	case "Proceeding":
		m.answer(180)
	case "Accepted":
		m.answer(200)
	case "Completed":
		m.answer(486)
	case "Terminated":
		m.client.Abandon()
	}
	m.clientMeets(map[string]int{"1xx": 180, "2xx": 200, "300-699": 486})
}

// driveClient is driveInviteClient for other requests.
func driveClient(m *machine) {
	m.client = m.start("BYE", nil)
	switch m.enter {
	case "Proceeding":
		m.answer(180)
	case "Completed":
		m.answer(200)
	case "Terminated":
		m.client.Abandon()
	}
	m.clientMeets(map[string]int{"1xx": 180, "200-699": 486})
}

func (m *machine) clientMeets(answers map[string]int) {
	m.meet()
	switch status := answers[m.event]; {
	case status != 0:
		m.answer(status)
	case m.event == "CANCEL from TU":
		m.client.Cancel("")
	case m.event == "transport error" && m.near.Proto().Reliable():
		m.layer.Closed(m.near.Flow(), nil)
	case m.event == "transport error":
		m.near.Cut()
		if m.enter == "Completed" {
			m.answer(486) // or there is nothing to send
		}
		m.clock.Advance(one + coarseTick)
	}
}

// driveInviteServer brings an INVITE server into its state and does the event.
func driveInviteServer(m *machine) {
	m.request = siptest.Request{Method: "INVITE", Transport: m.near.Proto().String()}
	m.send(m.request.Bytes())
	m.respond(180)
	switch m.enter {
	case "Completed":
		m.respond(486)
	case "Confirmed":
		m.respond(486)
		m.sendMethod("ACK")
	case "Accepted":
		m.respond(200)
	case "Terminated":
		m.server.Drop()
	}
	tx := m.server
	m.meet()
	switch m.event {
	case "INVITE":
		m.send(m.request.Bytes())
	case "ACK", "CANCEL":
		m.sendMethod(m.event)
	case "101-199 from TU":
		m.respond(183)
	case "2xx from TU":
		m.respond(200)
	case "300-699 from TU":
		m.respond(486)
	case "ACK of the 2xx at TU":
		m.server.Acked()
	case "transport error":
		m.breakServer(183)
	}
	m.server = tx
}

// driveServer is driveInviteServer for other requests.
func driveServer(m *machine) {
	m.request = siptest.Request{Method: "BYE", Transport: m.near.Proto().String()}
	m.send(m.request.Bytes())
	switch m.enter {
	case "Proceeding":
		m.respond(180)
	case "Completed":
		m.respond(486)
	case "Terminated":
		m.server.Drop()
	}
	tx := m.server
	m.meet()
	switch m.event {
	case "request":
		m.send(m.request.Bytes())
	case "ACK":
		m.sendMethod("ACK")
	case "1xx from TU":
		m.respond(183)
	case "200-699 from TU":
		m.respond(486)
	case "transport error":
		m.breakServer(183)
	}
	m.server = tx
}

// breakServer has the next thing fail that the transaction sends: what its user says, what it repeats for its peer or by
// its timer.
func (m *machine) breakServer(status int) {
	m.near.Cut()
	if m.enter == "Proceeding" {
		m.respond(status)
	}
	if m.enter != "Terminated" {
		m.send(m.request.Bytes())
	}
	m.clock.Advance(one + coarseTick)
}

// respond has the user answer, or be refused.
func (m *machine) respond(status int) {
	m.t.Helper()
	err := m.server.Respond(siptest.Response(m.t, m.request.Message(m.t), status, "near"))
	m.refused = err != nil
	if err != nil && (err != ErrFinal || !m.started) {
		m.t.Errorf("respond %d: %v", status, err)
	}
}

// sendMethod has the peer send another request on the transaction's branch.
func (m *machine) sendMethod(method string) {
	r := m.request
	r.Method = method
	m.send(r.Bytes())
}
