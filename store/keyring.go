package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/seal"
)

// The keyring lies beside the entities: under "k/current" the id of the data key that seals new values, and under
// "k/<data key>/<node key>" each data key wrapped for each node.

// wrappedKey is the stored form of a data key wrapped for one node.
type wrappedKey struct {
	Version int `json:"v"`
	// Public is the node's public key: a new data key is wrapped for every node that has the current one.
	Public  []byte `json:"public"`
	Wrapped []byte `json:"wrapped"`
}

func (s *Store) ringKey(parts ...string) string {
	return s.config.Prefix + "k/" + strings.Join(parts, "/")
}

func ringID(id uint32) string { return strconv.FormatUint(uint64(id), 16) }

// openKeyring fills s.box. The transaction that makes the first data key holds only if there is none: of nodes that
// start at once one makes it, and the others find that they are not admitted to it.
func (s *Store) openKeyring(ctx context.Context) error {
	for {
		answer, err := s.client.Get(ctx, s.ringKey(), clientv3.WithPrefix())
		if err != nil {
			return s.refuse("read the keyring", err)
		}
		ring := map[string][]byte{}
		for _, kv := range answer.Kvs {
			ring[strings.TrimPrefix(string(kv.Key), s.ringKey())] = kv.Value
		}
		if current, ok := ring["current"]; ok {
			s.box, err = s.unwrapRing(string(current), ring)
			return err
		}
		if err := s.createRing(ctx); err != nil {
			return err
		}
	}
}

func (s *Store) createRing(ctx context.Context) error {
	key, err := seal.NewDataKey(s.config.Random)
	if err != nil {
		return fmt.Errorf("make data key: %w", err)
	}
	record, err := wrapFor(s.config.Key.Public(), key)
	if err != nil {
		return err
	}
	id := ringID(key.ID())
	_, err = s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(s.ringKey("current")), "=", 0)).
		Then(clientv3.OpPut(s.ringKey("current"), id), clientv3.OpPut(s.ringKey(id, s.config.Key.ID()), record)).
		Commit()
	if err != nil {
		return s.refuse("store the data key", err)
	}
	return nil
}

func wrapFor(public []byte, key seal.DataKey) (string, error) {
	wrapped, err := seal.Wrap(public, key)
	if err != nil {
		return "", err
	}
	record, err := json.Marshal(wrappedKey{Version: formVersion, Public: public, Wrapped: wrapped})
	return string(record), err
}

func (s *Store) unwrapRing(current string, ring map[string][]byte) (*seal.Box, error) {
	keys, err := s.dataKeys(ring)
	if err != nil {
		return nil, err
	}
	now, ok := keys[current]
	if !ok {
		return nil, fmt.Errorf("the installation's data key is not wrapped for this node's key %s: admit it on another node, or use the key file of one",
			s.config.Key.ID())
	}
	older := make([]seal.DataKey, 0, len(keys))
	for _, k := range keys {
		older = append(older, k)
	}
	return seal.NewBox(now, older...), nil
}

// dataKeys opens what is wrapped for this node, by data key id.
func (s *Store) dataKeys(ring map[string][]byte) (map[string]seal.DataKey, error) {
	keys := map[string]seal.DataKey{}
	for name, value := range ring {
		id, node, _ := strings.Cut(name, "/")
		if node != s.config.Key.ID() {
			continue
		}
		var record wrappedKey
		if err := json.Unmarshal(value, &record); err != nil {
			return nil, fmt.Errorf("read wrapped data key %s: %w", id, err)
		}
		key, err := s.config.Key.Unwrap(record.Wrapped)
		if err != nil {
			return nil, err
		}
		keys[id] = key
	}
	return keys, nil
}

// Admit wraps every data key this node can open for the node with that public key, which can then open the store.
// It is called on a node that is admitted already, with seal.NodeKey.Public of the new one.
func (s *Store) Admit(ctx context.Context, public []byte) error {
	answer, err := s.client.Get(ctx, s.ringKey(), clientv3.WithPrefix())
	if err != nil {
		return s.refuse("read the keyring", err)
	}
	ring := map[string][]byte{}
	for _, kv := range answer.Kvs {
		ring[strings.TrimPrefix(string(kv.Key), s.ringKey())] = kv.Value
	}
	keys, err := s.dataKeys(ring)
	if err != nil {
		return fmt.Errorf("admit node: %w", err)
	}
	var puts []clientv3.Op
	for id, key := range keys {
		record, err := wrapFor(public, key)
		if err != nil {
			return fmt.Errorf("admit node: %w", err)
		}
		puts = append(puts, clientv3.OpPut(s.ringKey(id, seal.PublicKeyID(public)), record))
	}
	if _, err := s.client.Txn(ctx).Then(puts...).Commit(); err != nil {
		return s.refuse("store the wrapped data key", err)
	}
	return nil
}
