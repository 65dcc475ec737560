package api

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

// keyring looks access keys up in the directory.
type keyring struct{ directory Directory }

// Secret implements sigv4.Keys. An expired key is known, so that its owner is told; a disabled one is not.
func (k keyring) Secret(_ context.Context, id string) (sigv4.Key, bool) {
	key, ok := k.directory.Snapshot().AccessKey(id)
	if !ok || key.Disabled {
		return sigv4.Key{}, false
	}
	return sigv4.Key{Secret: key.Secret.Reveal(), SessionToken: key.SessionToken.Reveal(), Expires: key.Expires}, true
}

// authenticate verifies the signature and finds out who made it.
func (r *request) authenticate() error {
	id, err := r.server.verifier.Verify(r.ctx, r.http, r.body, r.row.service, r.server.config.Clock.Now())
	if err != nil {
		return err
	}
	r.signatureEnd = id.Expires
	r.snapshot, r.region = r.server.config.Directory.Snapshot(), id.Region
	key, ok := r.snapshot.AccessKey(id.AccessKeyID)
	if !ok || !key.Usable(r.now) {
		// It was deleted since the signature was verified.
		return &sigv4.Error{Fault: sigv4.UnrecognizedClient, Message: "The security token included in the request is invalid."}
	}
	if r.principal, err = iam.NewPrincipal(key, r.server.policies); err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return nil
}

// deniedError says that no policy of the principal allows the action.
type deniedError struct{ principal, action, resource string }

// Error returns the sentence AWS clients know. Why it was denied is not in it: whether a statement matched can depend
// on what exists.
func (e *deniedError) Error() string {
	return "User: " + e.principal + " is not authorized to perform: " + e.action + " on resource: " + e.resource
}

// denied names the resource as the caller asked for it: the ARN that follows from the request where nothing exists.
// The ARN that the policy was held against may have another region, and would tell who is not allowed to know that
// the resource exists.
func (r *request) denied() error {
	asked := *r
	asked.snapshot = r.server.nothing
	return &deniedError{r.principal.ARN, r.row.action, r.row.resource(&asked)}
}

// deniedOf names a thing that the request names itself.
func (r *request) deniedOf(arn string) func() error {
	return func() error { return &deniedError{r.principal.ARN, r.row.action, arn} }
}

// authorize asks the principal's policy.
func (r *request) authorize() error {
	if r.row.unrestricted {
		return nil
	}
	if r.row.operatorOnly && !r.principal.Operator {
		return r.denied()
	}
	r.resource = r.row.resource(r)
	return r.ask(judgement{arn: r.resource, refusal: r.denied})
}

// mayTouch asks the policy about one thing of many that a request names in its body. The request as a whole is allowed;
// a policy that allows some of what it names does not allow the rest.
func (r *request) mayTouch(arn string) error {
	return r.ask(judgement{arn: arn, refusal: r.deniedOf(arn)})
}

// notForbidden asks the policy about what a request touches besides the resource it is for. Policies name the latter, as
// for AWS, so that nothing said of the former is no refusal; a Deny of it is.
func (r *request) notForbidden(arn string) error {
	return r.ask(judgement{arn: arn, refusal: r.deniedOf(arn), lenient: true})
}

// decision is what the policy says of this action on a resource.
func (r *request) decision(resource string) iam.Decision {
	return iam.Allowed(r.principal, r.row.action, resource, r.facts(resource))
}

// facts are what the conditions of the principal's policy may ask about; nil without a policy.
func (r *request) facts(resource string) iam.Context {
	policy := r.principal.Policy
	if policy == nil {
		return nil
	}
	c := iam.Context{}
	for key, value := range map[string]string{
		iam.KeyCurrentTime:      r.now.Format(time.RFC3339),
		iam.KeyEpochTime:        strconv.FormatInt(r.now.Unix(), 10),
		iam.KeySecureTransport:  strconv.FormatBool(r.http.TLS != nil),
		iam.KeyPrincipalAccount: r.principal.Account,
		iam.KeyPrincipalARN:     r.principal.ARN,
		iam.KeyRequestedRegion:  r.region,
		iam.KeyViaService:       "false",
	} {
		c.Set(key, value)
	}
	if !r.principal.Issued.IsZero() {
		c.Set(iam.KeyTokenIssueTime, r.principal.Issued.Format(time.RFC3339))
	}
	// RemoteAddr and never a forwarding header: anybody can write one.
	if source, err := netip.ParseAddrPort(r.http.RemoteAddr); err == nil {
		c.Set(iam.KeySourceIP, source.Addr().Unmap().WithZone("").String())
	}
	if agent := r.http.UserAgent(); agent != "" {
		c.Set(iam.KeyUserAgent, agent)
	}
	if policy.Asks(iam.KeyResourceTag) {
		for _, t := range r.resourceTags(resource) {
			c.Add(iam.KeyResourceTag+t.Key, t.Value)
		}
	}
	if policy.Asks(iam.KeyRequestTag) || policy.Asks(iam.KeyTagKeys) {
		r.addRequestTags(c)
	}
	return c
}

// anyConnector is the resource of operations about connectors in general.
func anyConnector(r *request) string {
	return trunk.ConnectorARN(trunk.Region(r.region), r.principal.Account, "*")
}

// oneConnector is the resource of operations about the connector in the path. An id the account does not have gets an
// ARN too: what the policy says of it decides, and then the handler answers NotFound.
func oneConnector(r *request) string {
	id := r.labels["voiceConnectorId"]
	if c, ok := r.snapshot.Connector(id); ok && c.Account == r.principal.Account {
		return c.ARN()
	}
	return trunk.ConnectorARN(trunk.Region(r.region), r.principal.Account, id)
}

// operatedConnector is the resource of operations that an operator does to any account's connector: with that account, so
// that a policy can tell the connectors that its operator may not touch.
func operatedConnector(r *request) string {
	if c, ok := r.snapshot.Connector(r.labels["voiceConnectorId"]); ok && r.principal.Operator {
		return c.ARN()
	}
	return oneConnector(r)
}

// wholeAccount is the resource of operations about an account, and of those that are not offered.
func wholeAccount(r *request) string {
	return "arn:aws:chime:" + r.region + ":" + r.principal.Account + ":*"
}
