package api

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	v1 "carillon/api/v1"
	"carillon/iam"
	"carillon/trunk"
)

// maxKeyLife is the longest life of a temporary key; AWS's longest session is 36 hours.
const maxKeyLife = 366 * 24 * time.Hour

func listKeys(r *request) (any, error) {
	account, err := r.accountQuery()
	if err != nil {
		return nil, err
	}
	answer := &v1.KeyList{Keys: []v1.Key{}}
	for _, k := range r.snapshot.AccessKeys(account) {
		own := v1.Key{
			AccessKeyID: k.ID, AccountID: k.Account, Name: k.Name, Created: k.Created,
			Disabled: k.Disabled, Operator: k.Operator, Policy: k.Policy,
		}
		if !k.Expires.IsZero() {
			own.Expires = new(k.Expires)
		}
		answer.Keys = append(answer.Keys, own)
	}
	return answer, nil
}

func createKey(r *request) (any, error) {
	in, err := readOwn[v1.CreateKey](r)
	if err != nil {
		return nil, err
	}
	if in.Account == "" {
		in.Account = r.principal.Account
	}
	if !validAccount(in.Account) {
		return nil, badAccount()
	}
	if utf8.RuneCountInString(in.Name) > 64 {
		return nil, trunk.Errorf(trunk.Invalid, "A key's name has at most 64 characters.")
	}
	if in.ExpiresSeconds < 0 || in.ExpiresSeconds > int64(maxKeyLife/time.Second) {
		return nil, trunk.Errorf(trunk.Invalid, "expires_seconds must be 0 to %d.", int64(maxKeyLife/time.Second))
	}
	policy := ""
	if in.Policy != nil {
		policy = *in.Policy
		if _, err := iam.Parse([]byte(policy)); err != nil {
			return nil, trunk.Errorf(trunk.Invalid, "The policy cannot be used: %v. A key without one may use chime:*.", err)
		}
	}
	k, err := NewAccessKey(r.server.config.Random, in.Account, time.Duration(in.ExpiresSeconds)*time.Second, r.now)
	if err != nil {
		return nil, err
	}
	k.Name, k.Policy, k.Operator = in.Name, policy, in.Operator
	if err := r.update(func(tx trunk.Tx) error { tx.Create(k); return nil }); err != nil {
		return nil, err
	}
	return ownCredentials(k), nil
}

// ownCredentials shows a new key, its secret included.
func ownCredentials(k *iam.AccessKey) *v1.Credentials {
	c := &v1.Credentials{
		AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), AccountID: k.Account, SessionToken: k.SessionToken.Reveal(),
	}
	if !k.Expires.IsZero() {
		c.Expires = new(k.Expires)
	}
	return c
}

// NewAccessKey makes an access key in AWS's forms: AKIA and 16 letters and digits, with a secret of 40 characters. With
// a life it is temporary: ASIA, and a session token.
func NewAccessKey(random io.Reader, account string, life time.Duration, now time.Time) (*iam.AccessKey, error) {
	var b [10 + 30 + 48]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	k := &iam.AccessKey{
		ID: "AKIA" + base32.StdEncoding.EncodeToString(b[:10]), Account: account, Created: now,
		Secret: trunk.NewSecret(base64.StdEncoding.EncodeToString(b[10:40])),
	}
	if life > 0 {
		k.ID = "ASIA" + k.ID[len("AKIA"):]
		k.Expires, k.SessionToken = now.Add(life), trunk.NewSecret(base64.StdEncoding.EncodeToString(b[40:]))
	}
	return k, nil
}

func disableKey(r *request) (any, error) {
	if err := r.keepsOwnKey(); err != nil {
		return nil, err
	}
	return nil, r.changeKey(func(tx trunk.Tx, k *iam.AccessKey) error {
		if err := r.keepsOperator(tx, k); err != nil {
			return err
		}
		k.Disabled = true
		tx.Put(k)
		return nil
	})
}

func enableKey(r *request) (any, error) {
	return nil, r.changeKey(func(tx trunk.Tx, k *iam.AccessKey) error {
		k.Disabled = false
		tx.Put(k)
		return nil
	})
}

func deleteKey(r *request) (any, error) {
	if err := r.keepsOwnKey(); err != nil {
		return nil, err
	}
	return nil, r.changeKey(func(tx trunk.Tx, k *iam.AccessKey) error {
		if err := r.keepsOperator(tx, k); err != nil {
			return err
		}
		tx.Delete(k.EntityKey())
		return nil
	})
}

// rotateKey makes a key that may do what the old one may, and ends the old one, at once or after a time in which both
// work. It is one transaction: there is never a moment without a key.
func rotateKey(r *request) (any, error) {
	in := new(v1.RotateKey)
	if len(r.body) > 0 {
		var err error
		if in, err = readOwn[v1.RotateKey](r); err != nil {
			return nil, err
		}
	}
	if in.GraceSeconds < 0 || in.GraceSeconds > int64(maxKeyLife/time.Second) {
		return nil, trunk.Errorf(trunk.Invalid, "grace_seconds must be 0 to %d.", int64(maxKeyLife/time.Second))
	}
	// The new secret is in the answer, which may be lost on its way. With a time of grace the key that signs can make another.
	if in.GraceSeconds == 0 && r.labels["id"] == r.principal.AccessKeyID {
		return nil, trunk.Errorf(trunk.Conflict, "This key signs the request. Give it a time of grace, or use another one to rotate it.")
	}
	made, err := NewAccessKey(r.server.config.Random, "", 0, r.now)
	if err != nil {
		return nil, err
	}
	err = r.changeKey(func(tx trunk.Tx, old *iam.AccessKey) error {
		switch {
		case !old.SessionToken.Empty():
			return trunk.Errorf(trunk.Conflict, "The key is temporary. Make a new one instead.")
		case old.Usable(r.now) && !old.Expires.IsZero():
			// Each heir goes on without end: who has the old key must not get one more with every request.
			return trunk.Errorf(trunk.Conflict, "The key was rotated already and ends at %s. Rotate the one that took its place, or make a new one.", old.Expires.Format(time.RFC3339))
		case !old.Usable(r.now):
			return trunk.Errorf(trunk.Conflict, "The key does not work any more. Enable it first, or make a new one.")
		}
		made.Account, made.Name, made.Policy = old.Account, old.Name, old.Policy
		made.Operator, made.Bootstrap = old.Operator, old.Bootstrap
		if in.GraceSeconds == 0 {
			old.Disabled = true
		} else {
			old.Expires = r.now.Add(time.Duration(in.GraceSeconds) * time.Second)
		}
		tx.Put(old)
		tx.Create(made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ownCredentials(made), nil
}

// keepsOwnKey refuses to take away the key that signs: its owner may have no other, and then nobody gets in any more.
func (r *request) keepsOwnKey() error {
	if r.labels["id"] == r.principal.AccessKeyID {
		return trunk.Errorf(trunk.Conflict, "This key signs the request. Use another one to disable or delete it.")
	}
	return nil
}

// keepsOperator refuses to take away the last operator's key that works and has no end: without one nobody gets in any
// more. It reads the key that stays in the transaction, so that two operators who disable each other at once do not both
// find the other's; and the key that signs, which may have been taken away since the request came.
func (r *request) keepsOperator(tx trunk.Tx, k *iam.AccessKey) error {
	if !k.Operator || !k.Expires.IsZero() || k.Disabled {
		return nil
	}
	signer, ok, err := trunk.Get[*iam.AccessKey](tx, trunk.EntityKey{Kind: iam.KindAccessKey, ID: r.principal.AccessKeyID})
	switch {
	case err != nil:
		return err
	case !ok || !signer.Usable(r.now):
		return trunk.Errorf(trunk.Conflict, "The key that signs the request does not work any more.")
	}
	stays := func(other *iam.AccessKey) bool {
		return other.ID != k.ID && other.Operator && other.Expires.IsZero() && !other.Disabled
	}
	for _, known := range r.server.config.Directory.Snapshot().AccessKeys("") {
		if !stays(known) {
			continue
		}
		other, ok, err := trunk.Get[*iam.AccessKey](tx, known.EntityKey())
		if err != nil {
			return err
		}
		if ok && stays(other) {
			return nil
		}
	}
	return trunk.Errorf(trunk.Conflict, "This is the last key of an operator that works and has no end. Make another one first.")
}

// changeKey runs fn on a copy of the key in the path, in one transaction.
func (r *request) changeKey(fn func(trunk.Tx, *iam.AccessKey) error) error {
	return r.update(func(tx trunk.Tx) error {
		k, ok, err := trunk.Get[*iam.AccessKey](tx, trunk.EntityKey{Kind: iam.KindAccessKey, ID: r.labels["id"]})
		if err != nil {
			return err
		}
		if !ok {
			return trunk.Errorf(trunk.NotFound, "There is no access key of that id.")
		}
		changed := *k
		return fn(tx, &changed)
	})
}
