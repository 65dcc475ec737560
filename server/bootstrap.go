package server

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"crypto/rand"

	"carillon/api"
	"carillon/iam"
	"carillon/trunk"
)

// Numbers of a trial node's pool: +12065550100 to +12065550199, which are kept for fiction and examples.
const (
	poolFirst = 12065550100
	poolSize  = 100
)

// bootstrap makes what an installation needs to be used at all, once: its account, the operator's key and, on a trial
// node, a pool of numbers. It returns when this node's snapshot has it.
func (n *Node) bootstrap(ctx context.Context) error {
	now := n.clock.Now().UTC().Truncate(time.Millisecond)
	account, err := newAccount(n)
	if err != nil {
		return err
	}
	operator, err := api.NewAccessKey(n.random, account, 0, now)
	if err != nil {
		return err
	}
	operator.Operator, operator.Bootstrap, operator.Name = true, true, operatorKey
	var installation *trunk.Installation
	revision, err := n.store.Update(ctx, func(tx trunk.Tx) error {
		existing, found, err := trunk.Get[*trunk.Installation](tx, (&trunk.Installation{}).EntityKey())
		switch {
		case err != nil:
			return err
		case !found:
			installation = &trunk.Installation{Domain: n.config.Domain, Account: account, Created: now}
			tx.Create(installation)
			tx.Create(operator)
			if n.config.Dev {
				createPool(tx, now)
			}
		default:
			installation = existing
			if n.config.Domain != "" && n.config.Domain != existing.Domain {
				changed := *existing
				changed.Domain = n.config.Domain
				installation = &changed
				tx.Put(installation)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := n.directory.Await(ctx, revision); err != nil {
		return fmt.Errorf("wait for the first snapshot: %w", err)
	}
	n.ready.Domain = installation.Domain
	key, ok := n.operatorKey(installation)
	if !ok {
		n.log.Warn("the ready file has no key: the one that was made with the installation, or its heir, does not work any more; those of other operators are their own", "account", installation.Account)
		n.ready.AccountID = installation.Account
		return nil
	}
	n.ready.credentials(installation.Account, key.ID, key.Secret)
	return nil
}

// operatorKey is the name of the key that is made with the installation.
const operatorKey = "operator"

// operatorKey finds the operator's key that was made with the installation or took its place: the oldest that works and
// will go on to. One that has an end, a temporary one or one that was rotated, is no key to write into a file, and one
// that an operator has made is that operator's secret.
func (n *Node) operatorKey(installation *trunk.Installation) (*iam.AccessKey, bool) {
	var oldest *iam.AccessKey
	all := n.directory.Snapshot().AccessKeys(installation.Account)
	named := slices.ContainsFunc(all, func(k *iam.AccessKey) bool { return unmarked(k, installation) })
	for _, k := range all {
		ours := k.Bootstrap || named && k.Name == operatorKey
		if ours && k.Operator && k.Expires.IsZero() && k.Usable(n.clock.Now()) && (oldest == nil || k.Created.Before(oldest.Created)) {
			oldest = k
		}
	}
	return oldest, oldest != nil
}

// unmarked reports whether a key is the first one of an installation that is older than AccessKey.Bootstrap. There the
// heirs are known by their name alone.
func unmarked(k *iam.AccessKey, installation *trunk.Installation) bool {
	return k.Operator && !k.Bootstrap && k.Name == operatorKey && k.Created.Equal(installation.Created)
}

func createPool(tx trunk.Tx, now time.Time) {
	for i := range poolSize {
		tx.Create(&trunk.PhoneNumber{
			E164: trunk.Number(fmt.Sprintf("+%d", poolFirst+i)), Created: now, Updated: now,
		})
	}
}

// newAccount draws a 12-digit account id that does not begin with 0: some tools drop leading zeros.
func newAccount(n *Node) (string, error) {
	v, err := rand.Int(n.random, big.NewInt(900_000_000_000))
	if err != nil {
		return "", fmt.Errorf("make an account id: %w", err)
	}
	return fmt.Sprintf("%d", v.Int64()+100_000_000_000), nil
}
