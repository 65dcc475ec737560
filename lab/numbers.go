package lab

import "carillon/trunk"

// The names of the numbers.
const (
	echo       = "echo"
	tone       = "tone"
	busy       = "busy"
	noAnswer   = "no-answer"
	answerLate = "answer-late"
	refuse     = "refuse"
	dropAck    = "drop-ack"
	dtmf       = "dtmf"
)

// Number is one number of the lab.
type Number struct {
	// Name is the word for the number on the command line, for example "echo".
	Name string
	// E164 lies in the unassigned area code 999, so that it can never be somebody's.
	E164 trunk.Number
	// Does says in one sentence what happens to a call.
	Does string
}

// Numbers returns every number of the lab, in the order of the documentation.
func Numbers() []Number {
	return []Number{
		{echo, "+19995550101", "Answers at once and sends back what it hears, and keys that are pressed."},
		{tone, "+19995550102", "Answers at once and plays a 1,004 Hz tone."},
		{busy, "+19995550103", "Refuses with 486 Busy Here."},
		{noAnswer, "+19995550104", "Rings for ever with 180."},
		{answerLate, "+19995550105", "Plays ringing as early media with 183 and answers after 3 seconds."},
		{refuse, "+19995550106", "Refuses with 603 Decline."},
		{dropAck, "+19995550107", "Answers, acts as if no ACK ever came, repeats its 200 and at last hangs up."},
		{dtmf, "+19995550108", "Answers at once and plays all keys of a telephone as tones."},
	}
}

// Find returns the number with this name, or the one that is spelled so in E.164.
func Find(s string) (Number, bool) {
	for _, n := range Numbers() {
		if n.Name == s || string(n.E164) == s {
			return n, true
		}
	}
	return Number{}, false
}
