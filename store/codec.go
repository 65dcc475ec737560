package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"unique"

	"carillon/audit"
	"carillon/iam"
	"carillon/quickjson"
	"carillon/seal"
	"carillon/trunk"
)

// formVersion is the version of every stored form. A form that gains a field keeps its version: older programs
// ignore what they do not know. Only a form that an older program would misread gets the next one, and then older
// programs refuse it.
const formVersion = 1

// header is what every stored form begins with.
type header struct {
	Version int `json:"v"`
}

func (s *Store) entityKey(k trunk.EntityKey) string {
	if k.Kind == audit.Kind {
		return s.auditKey(k.ID)
	}
	return s.config.Prefix + "e/" + string(k.Kind) + "/" + k.ID
}

func (s *Store) parseKey(key string) (trunk.EntityKey, bool) {
	rest, ok := strings.CutPrefix(key, s.config.Prefix+"e/")
	kind, id, ok2 := strings.Cut(rest, "/")
	return trunk.EntityKey{Kind: trunk.EntityKind(shared(kind)), ID: id}, ok && ok2
}

// shared returns s from one copy per distinct text: a million connectors name few regions, accounts and countries.
func shared(s string) string { return unique.Make(s).Value() }

// vault seals and opens the secrets of one record.
type vault struct {
	box      *seal.Box
	kind, id string
	err      error // the first failure
}

func (v *vault) seal(field string, s trunk.Secret) []byte {
	if s.Empty() {
		return nil
	}
	return v.box.Seal(seal.Context(v.kind, v.id, field), []byte(s.Reveal()))
}

func (v *vault) open(field string, sealed []byte) trunk.Secret {
	if len(sealed) == 0 || v.err != nil {
		return trunk.Secret{}
	}
	text, err := v.box.Open(seal.Context(v.kind, v.id, field), sealed)
	if err != nil {
		v.err = fmt.Errorf("open %s: %w", field, err)
	}
	return trunk.NewSecret(string(text))
}

// encode returns the stored form of an entity.
func encode(e trunk.Entity, box *seal.Box) ([]byte, error) {
	key := e.EntityKey()
	v := &vault{box: box, kind: string(key.Kind), id: key.ID}
	var form any
	switch e := e.(type) {
	case *trunk.Connector:
		form = connectorForm(e, v)
	case *trunk.PhoneNumber:
		form = numberForm(e)
	case *trunk.Group:
		form = groupForm(e)
	case *trunk.Order:
		form = orderForm(e)
	case *trunk.SIPRule:
		form = sipRuleForm(e)
	case *trunk.AccountSettings:
		form = accountForm(e)
	case *trunk.Carrier:
		form = carrierForm(e, v)
	case *trunk.Quota:
		form = storedQuota{header{formVersion}, e.Value}
	case *trunk.Health:
		form = storedHealth{header{formVersion}, e.Source, e.Time.UTC()}
	case *trunk.Dedup:
		form = storedDedup{header{formVersion}, e.ResultID, e.Expires.UTC()}
	case *trunk.Usage:
		form = storedUsage{header{formVersion}, e.Count}
	case *trunk.Installation:
		form = storedInstallation{header{formVersion}, e.Domain, e.Account, e.Created.UTC()}
	case *iam.AccessKey:
		form = accessKeyForm(e, v)
	case *audit.Entry:
		form = entryForm(e)
	case *Certificate:
		form = storedCertificate{header{formVersion}, string(e.CertPEM), v.seal("key", e.Key)}
	default:
		return nil, trunk.Errorf(trunk.Internal, "no stored form for %T", e)
	}
	value, err := quickjson.Marshal(form)
	if err != nil {
		return nil, fmt.Errorf("encode %s %q: %w", key.Kind, key.ID, err)
	}
	return value, nil
}

// decode reads a stored form; nil without an error for a kind this program does not know.
func decode(key trunk.EntityKey, value []byte, box *seal.Box) (trunk.Entity, error) {
	v := &vault{box: box, kind: string(key.Kind), id: key.ID}
	e, err := decodeForm(key, value, v)
	if err == nil {
		err = v.err
	}
	if err != nil {
		return nil, fmt.Errorf("read stored %s %q: %w", key.Kind, key.ID, err)
	}
	return e, nil
}

func decodeForm(key trunk.EntityKey, value []byte, v *vault) (trunk.Entity, error) {
	switch key.Kind {
	case trunk.KindConnector:
		return readForm(value, func(f *storedConnector) (trunk.Entity, error) { return f.entity(key.ID, v) })
	case trunk.KindNumber:
		return readForm(value, func(f *storedNumber) (trunk.Entity, error) { return f.entity(key.ID) })
	case trunk.KindCarrier:
		return readForm(value, func(f *storedCarrier) (trunk.Entity, error) { return f.entity(key.ID, v) })
	case trunk.KindQuota:
		return readForm(value, func(f *storedQuota) (trunk.Entity, error) {
			account, name, _ := strings.Cut(key.ID, "/")
			return &trunk.Quota{Account: account, Name: name, Value: f.Value}, nil
		})
	case trunk.KindHealth:
		return readForm(value, func(f *storedHealth) (trunk.Entity, error) {
			return &trunk.Health{ConnectorID: key.ID, Source: f.Source, Time: f.Time}, nil
		})
	case trunk.KindDedup:
		return readForm(value, func(f *storedDedup) (trunk.Entity, error) {
			return &trunk.Dedup{Key: key.ID, ResultID: f.ResultID, Expires: f.Expires}, nil
		})
	case trunk.KindUsage:
		return readForm(value, func(f *storedUsage) (trunk.Entity, error) {
			account, name, _ := strings.Cut(key.ID, "/")
			return &trunk.Usage{Account: account, Name: name, Count: f.Count}, nil
		})
	case trunk.KindInstallation:
		return readForm(value, func(f *storedInstallation) (trunk.Entity, error) {
			return &trunk.Installation{Domain: f.Domain, Account: f.Account, Created: f.Created}, nil
		})
	case iam.KindAccessKey:
		return readForm(value, func(f *storedAccessKey) (trunk.Entity, error) { return f.entity(key.ID, v), nil })
	case audit.Kind:
		return readForm(value, func(f *storedEntry) (trunk.Entity, error) { return f.entity(key.ID) })
	case KindCertificate:
		return readForm(value, func(f *storedCertificate) (trunk.Entity, error) {
			return &Certificate{Name: key.ID, CertPEM: []byte(f.CertPEM), Key: v.open("key", f.Key)}, nil
		})
	default:
		return decodeInventory(key, value)
	}
}

// readForm decodes value into a form of type F and makes the entity of it.
func readForm[F any, P interface {
	*F
	version() int
}](value []byte, entity func(P) (trunk.Entity, error)) (trunk.Entity, error) {
	form := P(new(F))
	if q, ok := any(form).(quickForm); !ok || !q.quick(value) {
		form = new(F)
		if err := json.Unmarshal(value, form); err != nil {
			return nil, err
		}
	}
	if v := form.version(); v < 1 || v > formVersion {
		return nil, fmt.Errorf("stored form %d is not one of 1 to %d: written by another version of this program", v, formVersion)
	}
	return entity(form)
}

func (h *header) version() int { return h.Version }
