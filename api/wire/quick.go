package wire

import "strconv"

// AppendJSON implements restjson.Appender: half of all answers of a busy API are this one.
func (r *CreateVoiceConnectorResponse) AppendJSON(b []byte) ([]byte, bool) {
	return r.VoiceConnector.within(b)
}

// AppendJSON implements restjson.Appender.
func (r *GetVoiceConnectorResponse) AppendJSON(b []byte) ([]byte, bool) {
	return r.VoiceConnector.within(b)
}

// within appends an answer that is the connector alone, as encoding/json does.
func (c *VoiceConnector) within(b []byte) ([]byte, bool) {
	if c == nil {
		return b, false
	}
	o := members{b: append(b, `{"VoiceConnector":{`...)}
	o.text("AwsRegion", (*string)(c.AWSRegion))
	o.time("CreatedTimestamp", c.CreatedTimestamp)
	o.text("IntegrationType", (*string)(c.IntegrationType))
	o.text("Name", c.Name)
	o.text("NetworkType", (*string)(c.NetworkType))
	o.text("OutboundHostName", c.OutboundHostName)
	if c.RequireEncryption != nil {
		o.name("RequireEncryption")
		o.b = strconv.AppendBool(o.b, *c.RequireEncryption)
	}
	o.time("UpdatedTimestamp", c.UpdatedTimestamp)
	o.text("VoiceConnectorArn", c.VoiceConnectorARN)
	o.text("VoiceConnectorId", c.VoiceConnectorID)
	return append(o.b, "}}"...), !o.bad
}

// members writes those of an object. It is bad after a text that does not stand in JSON as it is.
type members struct {
	b   []byte
	bad bool
}

func (o *members) name(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

func (o *members) text(name string, value *string) {
	if value == nil {
		return
	}
	for i := range len(*value) {
		if c := (*value)[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			o.bad = true
			return
		}
	}
	o.name(name)
	o.b = append(append(append(o.b, '"'), *value...), '"')
}

func (o *members) time(name string, t *Timestamp) {
	if t == nil {
		return
	}
	o.name(name)
	o.b = append(t.appendTo(append(o.b, '"')), '"')
}
