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
	if in.Policy != "" {
		if _, err := iam.Parse([]byte(in.Policy)); err != nil {
			return nil, trunk.Errorf(trunk.Invalid, "The policy cannot be used: %v.", err)
		}
	}
	k, err := NewAccessKey(r.server.config.Random, in.Account, time.Duration(in.ExpiresSeconds)*time.Second, r.now)
	if err != nil {
		return nil, err
	}
	k.Name, k.Policy, k.Operator = in.Name, in.Policy, in.Operator
	if err := r.update(func(tx trunk.Tx) error { tx.Create(k); return nil }); err != nil {
		return nil, err
	}
	answer := &v1.Credentials{
		AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), AccountID: k.Account, SessionToken: k.SessionToken.Reveal(),
	}
	if !k.Expires.IsZero() {
		answer.Expires = new(k.Expires)
	}
	return answer, nil
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
	return nil, r.changeKey(func(tx trunk.Tx, k *iam.AccessKey) {
		next := *k
		next.Disabled = true
		tx.Put(&next)
	})
}

func deleteKey(r *request) (any, error) {
	return nil, r.changeKey(func(tx trunk.Tx, k *iam.AccessKey) { tx.Delete(k.EntityKey()) })
}

func (r *request) changeKey(fn func(trunk.Tx, *iam.AccessKey)) error {
	id := r.labels["id"]
	// An operator who takes away the key it signs with may have no other, and then nobody gets in any more.
	if id == r.principal.AccessKeyID {
		return trunk.Errorf(trunk.Conflict, "This key signs the request. Use another one to disable or delete it.")
	}
	return r.update(func(tx trunk.Tx) error {
		k, ok, err := trunk.Get[*iam.AccessKey](tx, trunk.EntityKey{Kind: iam.KindAccessKey, ID: id})
		if err != nil {
			return err
		}
		if !ok {
			return trunk.Errorf(trunk.NotFound, "There is no access key of that id.")
		}
		fn(tx, k)
		return nil
	})
}
