package sbc

import (
	"carillon/sip"
	"carillon/sip/digest"
)

// authorization is a header that answers a carrier's challenge.
type authorization struct{ name, value string }

// answerChallenge computes the answer to a carrier's 401 or 407; nil when it cannot be given.
func (c *activeCall) answerChallenge(a *attempt, m *sip.Message) *authorization {
	carrier := a.target.Carrier
	if a.answered || carrier == nil || carrier.User == "" {
		return nil
	}
	name, id := "Proxy-Authorization", sip.HdrProxyAuthenticate
	if m.Status() == 401 {
		name, id = "Authorization", sip.HdrWWWAuthenticate
	}
	var challenges [][]byte
	for f := range m.Fields() {
		if f.ID == id {
			challenges = append(challenges, f.Value)
		}
	}
	client := digest.NewClient(digest.ClientConfig{Username: carrier.User, Password: carrier.Password.Reveal(), Rand: &c.s.random})
	value, err := client.Answer(challenges, "INVITE", a.uri, false)
	if err != nil {
		c.log.Info("answer a challenge", "target", a.target.String(), "error", err)
		return nil
	}
	a.answered = true
	return &authorization{name: name, value: value}
}
