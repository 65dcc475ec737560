package store

import "carillon/quickjson"

// AppendJSON implements quickjson.Appender for a connector as a create makes it.
func (f *storedConnector) AppendJSON(b []byte) ([]byte, bool) {
	if len(f.Tags) > 0 || f.Termination != nil || f.Origination != nil || len(f.Credentials) > 0 || f.Services != nil || !f.Settings.IsZero() {
		return b, false
	}
	o := quickjson.Begin(b)
	o.Int("v", f.Version)
	o.Text("account", f.Account)
	o.Text("name", f.Name)
	o.Text("region", f.Region)
	o.Text("host", f.HostName)
	o.Bool("require_encryption", f.RequireEncryption)
	o.Text("network_type", f.NetworkType)
	o.Set("integration_type", f.IntegrationType)
	o.Time("created", f.Created)
	o.Time("updated", f.Updated)
	return o.End()
}

// AppendJSON implements quickjson.Appender for an entry of changes that are the account's own.
func (f *storedEntry) AppendJSON(b []byte) ([]byte, bool) {
	o := quickjson.Begin(b)
	o.Int("v", f.Version)
	o.Text("a", f.Action)
	o.Set("p", f.Principal)
	o.Set("k", f.Key)
	if f.Operator {
		o.Bool("op", true)
	}
	if f.Source.IsValid() {
		o.Name("s")
		o.B = append(f.Source.AppendTo(append(o.B, '"')), '"')
	}
	o.Set("u", f.UserAgent)
	o.Set("r", f.Resource)
	for i := range f.Changes {
		if i == 0 {
			o.Name("c")
			o.B = append(o.B, '[')
		} else {
			o.B = append(o.B, ',')
		}
		var ok bool
		o.B, ok = f.Changes[i].AppendJSON(o.B)
		o.Bad = o.Bad || !ok
	}
	if len(f.Changes) > 0 {
		o.B = append(o.B, ']')
	}
	if f.Omitted != 0 {
		o.Int("more", f.Omitted)
	}
	return o.End()
}

// AppendJSON implements quickjson.Appender.
func (c *storedChange) AppendJSON(b []byte) ([]byte, bool) {
	o := quickjson.Begin(b)
	o.Bad = c.OwnerBefore != nil || c.OwnerAfter != nil
	o.Text("k", c.Kind)
	o.Text("i", c.ID)
	o.Set("r", c.ARN)
	if len(c.Before) > 0 {
		o.Raw("b", c.Before)
	}
	if len(c.After) > 0 {
		o.Raw("n", c.After)
	}
	if c.Cut {
		o.Bool("cut", true)
	}
	return o.End()
}
