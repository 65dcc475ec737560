package sbc

import (
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/trunk"
)

// maxChallenges bounds how often one request is sent again with credentials: once for a challenge, and once more where the
// nonce was stale.
const maxChallenges = 2

// authorization is a header that answers a carrier's challenge.
type authorization struct{ name, value string }

// carrierAccount is what a carrier knows the node by, on one leg. A carrier that challenged the INVITE may challenge what follows, too,
// and would take neither a BYE nor a new session without an answer (RFC 3261 section 22.3).
type carrierAccount struct {
	client *digest.Client
	// header is the name of the header with credentials, empty before the first challenge.
	header string
	// invite is what the last INVITE had, for its ACK (RFC 3261 section 22.1); nil for none.
	invite *authorization
}

// newAccount returns the account with a carrier, nil where it has none.
func (c *activeCall) newAccount(carrier *trunk.Carrier) *carrierAccount {
	if carrier == nil || carrier.User == "" {
		return nil
	}
	return &carrierAccount{client: digest.NewClient(digest.ClientConfig{
		Username: carrier.User, Password: carrier.Password.Reveal(), Rand: &c.s.random,
	})}
}

// answerChallenge computes the answer to a 401 or 407; nil when it cannot be given. again is true for a request that had an answer to
// a challenge already: then only a stale nonce is another try worth.
func (c *activeCall) answerChallenge(l *leg, m *sip.Message, method, uri string, again bool) *authorization {
	if l.account == nil || m == nil {
		return nil
	}
	name, id := "Proxy-Authorization", sip.HdrProxyAuthenticate
	switch m.Status() {
	case 407:
	case 401:
		name, id = "Authorization", sip.HdrWWWAuthenticate
	default:
		return nil
	}
	var challenges [][]byte
	for f := range m.Fields() {
		if f.ID == id {
			challenges = append(challenges, f.Value)
		}
	}
	value, err := l.account.client.Answer(challenges, method, uri, again)
	if err != nil {
		c.log.Info("answer a challenge", "method", method, "error", err)
		return nil
	}
	l.account.header = name
	return &authorization{name, value}
}

// credentialsFor returns what a further request carries once its leg's carrier has challenged one; nil for nothing.
func (l *leg) credentialsFor(method, uri string) *authorization {
	if l.account == nil || l.account.header == "" {
		return nil
	}
	value, ok := l.account.client.Next(method, uri)
	if !ok {
		return nil
	}
	return &authorization{l.account.header, value}
}

// write puts credentials into a request.
func (a *authorization) write(b *sip.Builder) {
	if a != nil {
		b.Header(a.name, a.value)
	}
}

// sendProven sends an in-dialog request again that its carrier has challenged, and reports whether it did.
func (c *activeCall) sendProven(o *outbound, m *sip.Message) bool {
	if o.cancelled || o.challenges == maxChallenges {
		return false
	}
	uri, err := o.leg.dialog.RequestURI()
	if err != nil {
		return false
	}
	proof := c.answerChallenge(o.leg, m, o.method, uri, o.challenges > 0)
	if proof == nil {
		return false
	}
	o.challenges++
	o.proof, o.final, o.tx = proof, false, nil
	c.send(o)
	return true
}
