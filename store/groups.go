package store

import (
	"time"

	"carillon/trunk"
)

type storedGroup struct {
	header
	Account      string         `json:"account"`
	Name         string         `json:"name"`
	Distribution string         `json:"distribution"`
	Members      []storedMember `json:"members,omitempty"`
	Tags         []storedTag    `json:"tags,omitempty"`
	Created      time.Time      `json:"created"`
	Updated      time.Time      `json:"updated"`
}

type storedMember struct {
	ConnectorID string `json:"connector"`
	Priority    int    `json:"priority"`
}

func groupForm(g *trunk.Group) storedGroup {
	f := storedGroup{
		header: header{formVersion}, Account: g.Account, Name: g.Name, Distribution: string(g.Distribution),
		Tags: tagsForm(g.Tags), Created: g.Created.UTC(), Updated: g.Updated.UTC(),
	}
	for _, m := range g.Members {
		f.Members = append(f.Members, storedMember(m))
	}
	return f
}

func (f *storedGroup) entity(id string) trunk.Entity {
	g := &trunk.Group{
		ID: id, Account: shared(f.Account), Name: f.Name, Distribution: trunk.Distribution(shared(f.Distribution)),
		Tags: tags(f.Tags), Created: f.Created, Updated: f.Updated,
	}
	for _, m := range f.Members {
		g.Members = append(g.Members, trunk.Member(m))
	}
	return g
}

type storedNumber struct {
	header
	Account     string      `json:"account,omitempty"`
	ConnectorID string      `json:"connector,omitempty"`
	GroupID     string      `json:"group,omitempty"`
	Associated  time.Time   `json:"associated,omitzero"`
	ProductType string      `json:"product,omitempty"`
	Name        string      `json:"name,omitempty"`
	CallingName string      `json:"calling_name,omitempty"`
	OrderID     string      `json:"order,omitempty"`
	Deleted     time.Time   `json:"deleted,omitzero"`
	Tags        []storedTag `json:"tags,omitempty"`
	Created     time.Time   `json:"created"`
	Updated     time.Time   `json:"updated"`
}

func numberForm(n *trunk.PhoneNumber) storedNumber {
	return storedNumber{
		header: header{formVersion}, Account: n.Account, ConnectorID: n.ConnectorID, GroupID: n.GroupID, Associated: n.Associated.UTC(),
		ProductType: string(n.ProductType), Name: n.Name, CallingName: n.CallingName, OrderID: n.OrderID, Deleted: n.Deleted.UTC(),
		Tags: tagsForm(n.Tags), Created: n.Created.UTC(), Updated: n.Updated.UTC(),
	}
}

func (f *storedNumber) entity(id string) (trunk.Entity, error) {
	return &trunk.PhoneNumber{
		E164: trunk.Number(id), Account: shared(f.Account), ConnectorID: f.ConnectorID, GroupID: f.GroupID, Associated: f.Associated,
		ProductType: trunk.ProductType(shared(f.ProductType)), Name: f.Name, CallingName: f.CallingName, OrderID: f.OrderID, Deleted: f.Deleted,
		Tags: tags(f.Tags), Created: f.Created, Updated: f.Updated,
	}, nil
}

type storedOrder struct {
	header
	Account     string          `json:"account"`
	ProductType string          `json:"product"`
	Numbers     []storedOrdered `json:"numbers"`
	Created     time.Time       `json:"created"`
}

type storedOrdered struct {
	Number   string `json:"number"`
	Acquired bool   `json:"acquired,omitempty"`
}

func orderForm(o *trunk.Order) storedOrder {
	f := storedOrder{header: header{formVersion}, Account: o.Account, ProductType: string(o.ProductType), Created: o.Created.UTC()}
	for _, n := range o.Numbers {
		f.Numbers = append(f.Numbers, storedOrdered{string(n.E164), n.Acquired})
	}
	return f
}

func (f *storedOrder) entity(id string) trunk.Entity {
	o := &trunk.Order{ID: id, Account: shared(f.Account), ProductType: trunk.ProductType(shared(f.ProductType)), Created: f.Created}
	for _, n := range f.Numbers {
		o.Numbers = append(o.Numbers, trunk.OrderedNumber{E164: trunk.Number(n.Number), Acquired: n.Acquired})
	}
	return o
}

type storedSIPRule struct {
	header
	Account      string             `json:"account"`
	Name         string             `json:"name"`
	Disabled     bool               `json:"disabled,omitempty"`
	Trigger      string             `json:"trigger"`
	TriggerValue string             `json:"value"`
	Targets      []storedRuleTarget `json:"targets"`
	Created      time.Time          `json:"created"`
	Updated      time.Time          `json:"updated"`
}

type storedRuleTarget struct {
	ApplicationID string `json:"application"`
	Priority      int    `json:"priority,omitempty"`
	Region        string `json:"region,omitempty"`
}

func sipRuleForm(r *trunk.SIPRule) storedSIPRule {
	f := storedSIPRule{
		header: header{formVersion}, Account: r.Account, Name: r.Name, Disabled: r.Disabled, Trigger: string(r.Trigger),
		TriggerValue: r.TriggerValue, Created: r.Created.UTC(), Updated: r.Updated.UTC(),
	}
	for _, t := range r.Targets {
		f.Targets = append(f.Targets, storedRuleTarget(t))
	}
	return f
}

func (f *storedSIPRule) entity(id string) trunk.Entity {
	r := &trunk.SIPRule{
		ID: id, Account: shared(f.Account), Name: f.Name, Disabled: f.Disabled, Trigger: trunk.Trigger(shared(f.Trigger)),
		TriggerValue: f.TriggerValue, Created: f.Created, Updated: f.Updated,
	}
	for _, t := range f.Targets {
		r.Targets = append(r.Targets, trunk.RuleTarget(t))
	}
	return r
}

type storedAccount struct {
	header
	CdrBucket          string    `json:"cdr_bucket,omitempty"`
	BusinessCdrBucket  string    `json:"business_cdr_bucket,omitempty"`
	CallingName        string    `json:"calling_name,omitempty"`
	CallingNameUpdated time.Time `json:"calling_name_updated,omitzero"`
}

func accountForm(s *trunk.AccountSettings) storedAccount {
	return storedAccount{header{formVersion}, s.CdrBucket, s.BusinessCdrBucket, s.CallingName, s.CallingNameUpdated.UTC()}
}

func (f *storedAccount) entity(id string) trunk.Entity {
	return &trunk.AccountSettings{
		Account: shared(id), CdrBucket: f.CdrBucket, BusinessCdrBucket: f.BusinessCdrBucket, CallingName: f.CallingName,
		CallingNameUpdated: f.CallingNameUpdated,
	}
}

func tagsForm(all []trunk.Tag) []storedTag {
	var forms []storedTag
	for _, t := range all {
		forms = append(forms, storedTag(t))
	}
	return forms
}

func tags(forms []storedTag) []trunk.Tag {
	if len(forms) == 0 {
		return nil
	}
	all := make([]trunk.Tag, 0, len(forms))
	for _, t := range forms {
		all = append(all, trunk.Tag(t))
	}
	return all
}
