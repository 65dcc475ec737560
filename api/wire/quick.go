package wire

import "carillon/quickjson"

// AppendJSON implements quickjson.Appender: half of all answers of a busy API are this one.
func (r *CreateVoiceConnectorResponse) AppendJSON(b []byte) ([]byte, bool) {
	return r.VoiceConnector.within(b)
}

// AppendJSON implements quickjson.Appender.
func (r *GetVoiceConnectorResponse) AppendJSON(b []byte) ([]byte, bool) {
	return r.VoiceConnector.within(b)
}

// within appends an answer that is the connector alone.
func (c *VoiceConnector) within(b []byte) (_ []byte, ok bool) {
	if c == nil {
		return b, false
	}
	answer := quickjson.Begin(b)
	answer.Name("VoiceConnector")
	o := quickjson.Begin(answer.B)
	text(&o, "AwsRegion", c.AWSRegion)
	moment(&o, "CreatedTimestamp", c.CreatedTimestamp)
	text(&o, "IntegrationType", c.IntegrationType)
	text(&o, "Name", c.Name)
	text(&o, "NetworkType", c.NetworkType)
	text(&o, "OutboundHostName", c.OutboundHostName)
	if c.RequireEncryption != nil {
		o.Bool("RequireEncryption", *c.RequireEncryption)
	}
	moment(&o, "UpdatedTimestamp", c.UpdatedTimestamp)
	text(&o, "VoiceConnectorArn", c.VoiceConnectorARN)
	text(&o, "VoiceConnectorId", c.VoiceConnectorID)
	answer.B, ok = o.End()
	answer.Bad = !ok
	return answer.End()
}

func text[T ~string](o *quickjson.Object, name string, value *T) {
	if value != nil {
		o.Text(name, string(*value))
	}
}

func moment(o *quickjson.Object, name string, t *Timestamp) {
	if t != nil {
		o.Name(name)
		o.B = append(t.appendTo(append(o.B, '"')), '"')
	}
}
