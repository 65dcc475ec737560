package api

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"carillon/trunk"
)

// creation is a create that its client may send again after a lost answer.
type creation[E trunk.Entity] struct {
	// made is what this request makes; it has its id already.
	made E
	// noun is what a client calls it: "Voice Connector".
	noun string
	// reads says that write reads from the transaction. Then looking for an earlier answer costs no further round trip.
	reads bool
	// write checks what only the transaction can tell, such as a quota, and creates. It may run more than once.
	write func(trunk.Tx) error
}

// createOnce runs a create, or finds what the very same request made before. The create and the memory of it are one
// transaction, so of two attempts at the same moment one makes something and the other gets that.
func createOnce[E trunk.Entity](r *request, c creation[E]) (E, error) {
	retry, result, again := r.retryKey(), c.made, false
	attempt := func(look bool) error {
		return r.update(func(tx trunk.Tx) error {
			result, again = c.made, false
			if look && retry != "" {
				first, found, err := firstResult(r, tx, retry, c)
				if found || err != nil {
					result, again = first, found
					return err
				}
			}
			if err := c.write(tx); err != nil || retry == "" {
				return err
			}
			memory := &trunk.Dedup{Key: retry, ResultID: c.made.EntityKey().ID, Expires: r.remembered()}
			if look {
				tx.Put(memory)
			} else {
				tx.Create(memory)
			}
			return nil
		})
	}
	// Almost no create is a retry, so the first attempt reads nothing it need not: a memory that exists is a conflict.
	err := attempt(c.reads)
	if retry != "" && !c.reads && trunk.KindOf(err) == trunk.Conflict {
		err = attempt(true)
	}
	if again && err == nil {
		r.server.metrics.retries.Inc()
	}
	return result, err
}

// remembered is until when a create is recognised: for as long as the very same bytes would be let in again, however far
// ahead they are dated.
func (r *request) remembered() time.Time {
	least := r.now.Add(r.server.config.RetryMemory)
	if end := r.signatureEnd.Add(time.Second); end.After(least) {
		return end
	}
	return least
}

// retryKey names this very request, so that it is recognised when its client sends it again after a lost answer;
// empty when the client gives no way to tell. SDKs keep amz-sdk-invocation-id over all attempts of one call.
func (r *request) retryKey() string {
	invocation := r.http.Header.Get("Amz-Sdk-Invocation-Id")
	if invocation == "" {
		return ""
	}
	h := sha256.New()
	for _, part := range []string{r.principal.AccessKeyID, r.row.name, r.http.URL.EscapedPath(), invocation} {
		// Each part is hashed for a fixed length: parts of free length could be shifted into one another.
		sum := sha256.Sum256([]byte(part))
		h.Write(sum[:])
	}
	h.Write(r.body)
	return hex.EncodeToString(h.Sum(nil))
}

// firstResult returns what the same request made before, if it did and not too long ago. The key that signed is part of
// what is remembered and never changes its account, so the result is the caller's.
func firstResult[E trunk.Entity](r *request, tx trunk.Tx, retry string, c creation[E]) (first E, found bool, err error) {
	memory, ok, err := trunk.Get[*trunk.Dedup](tx, trunk.EntityKey{Kind: trunk.KindDedup, ID: retry})
	if err != nil || !ok || !r.now.Before(memory.Expires) {
		return first, false, err
	}
	first, ok, err = trunk.Get[E](tx, trunk.EntityKey{Kind: c.made.EntityKey().Kind, ID: memory.ResultID})
	if err == nil && !ok {
		err = trunk.Errorf(trunk.Invalid, "This request was answered before, and the %s it made has been deleted since.", c.noun)
	}
	return first, err == nil, err
}
