package iam

import (
	"fmt"
	"time"
)

// Principal is who sent a request.
type Principal struct {
	// Account is the account it acts in; 12 digits.
	Account string
	// AccessKeyID names the key that signed.
	AccessKeyID string
	// ARN names the principal in messages and in aws:PrincipalArn.
	ARN string
	// Operator principals run the installation; only they may use what belongs to no account.
	Operator bool
	// Issued is when the key was made, for a temporary one; zero otherwise.
	Issued time.Time
	// Policy is what the principal may do. Nil is the default: everything for an operator, chime:* on resources of
	// its own account for anybody else.
	Policy *Policy
}

// NewPrincipal returns the principal that a key stands for, its policy from the cache. It fails when the key's policy
// cannot be understood.
func NewPrincipal(k *AccessKey, policies *Cache) (*Principal, error) {
	p := &Principal{Account: k.Account, AccessKeyID: k.ID, ARN: UserARN(k.Account, k.ID), Operator: k.Operator}
	if !k.SessionToken.Empty() {
		p.Issued = k.Created
	}
	if k.Policy != "" {
		policy, err := policies.Parse(k.Policy)
		if err != nil {
			return nil, fmt.Errorf("read the policy of key %s: %w", k.ID, err)
		}
		p.Policy = policy
	}
	return p, nil
}

// UserARN names who signs with a key: arn:aws:iam::<account>:user/<key>.
func UserARN(account, keyID string) string { return "arn:aws:iam::" + account + ":user/" + keyID }

// Allowed decides whether p may do action ("chime:GetVoiceConnector") on the resource with that ARN.
func Allowed(p *Principal, action, resource string, c Context) Decision {
	if p.Policy != nil {
		return p.Policy.Evaluate(action, resource, c)
	}
	if p.Operator {
		return Allow
	}
	if match(foldASCII("chime:*"), foldASCII(action)) && accountOf(resource) == p.Account {
		return Allow
	}
	return ImplicitDeny
}

// accountOf returns the account field of an ARN (arn:partition:service:region:account:resource), or "".
func accountOf(arn string) string {
	field := 0
	for start, i := 0, 0; i < len(arn); i++ {
		if arn[i] != ':' {
			continue
		}
		if field == 4 {
			return arn[start:i]
		}
		field, start = field+1, i+1
	}
	return ""
}
