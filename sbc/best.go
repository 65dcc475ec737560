package sbc

import (
	"strconv"
	"strings"

	"carillon/call"
	"carillon/sip"
)

// outcome is how a target ended.
type outcome struct {
	status int  // 0 when nothing was sent to it or it could not be reached
	ours   bool // status stands for an answer that never came
	phrase string
	text   string // what the record says about it
	cause  string // why it could not be reached, for the operator
	// answer is the target's own, for the headers that cross, nil for none.
	answer *sip.Message
}

// better returns which of two outcomes the caller shall hear of if nothing better comes (RFC 3261 §16.7): the lowest
// class, and what was answered before what was not. The first of equals stays. A 6xx ends a call at once and never
// comes here.
func better(have, other outcome) outcome {
	if have.text == "" || rank(other.status) < rank(have.status) {
		return other
	}
	return have
}

func rank(status int) int {
	switch status {
	case 0, 401, 407: // ours to settle: the caller is not told
		return 9
	case 503:
		return 8
	case 408:
		return 7
	}
	return status / 100
}

// exhausted ends a call all of whose targets failed. The caller gets the best answer, but a 503 would silence the node
// for all its calls (RFC 3261 §16.7), a 408 is the node's own 504, and a challenge was meant for the node.
func (c *activeCall) exhausted() {
	v := judge(call.Refuse(call.ReasonAllTargetsFailed, c.attemptList()))
	switch s := c.best.status; s {
	case 408:
		v.status = 504
	case 0, 401, 407, 503: // the table's own 500
	default:
		v.status = passedOn(s)
		if v.status == s {
			v.phrase = c.best.phrase
		}
	}
	c.refuseCaller(v, "", c.best.answer, "")
}

// record writes down what became of a target.
func (c *activeCall) record(a *attempt, what call.Attempt) {
	what.Target = a.target.String()
	if a.target.Connector != nil {
		what.ConnectorID = a.target.Connector.ID
	}
	c.rec.Attempts = append(c.rec.Attempts, what)
}

// attemptList says what became of the targets, of how many the same. It does not say of which: the sentence reaches the
// caller, and where the other side is, is not for it. The record's attempts name the targets.
func (c *activeCall) attemptList() string {
	var texts []string
	count := map[string]int{}
	for _, a := range c.rec.Attempts {
		if count[a.Error]++; count[a.Error] == 1 {
			texts = append(texts, a.Error)
		}
	}
	for i, text := range texts {
		texts[i] = numeral(count[text]) + " " + text
	}
	return strings.Join(texts, ", ")
}

func numeral(n int) string {
	words := [...]string{"none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
	if n < len(words) {
		return words[n]
	}
	return strconv.Itoa(n)
}
