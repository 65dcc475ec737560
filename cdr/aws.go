package cdr

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"carillon/call"
)

// billingStep is the unit in which AWS bills: every begun 6 seconds.
const billingStep = 6 * time.Second

// awsRecord is AWS's call detail record, schema 2.0: its members, their order and their spelling. Members without
// a value are absent, never null.
type awsRecord struct {
	AwsAccountID            string  `json:"AwsAccountId"`
	TransactionID           string  `json:"TransactionId"`
	CallID                  string  `json:"CallId"`
	VoiceConnectorID        string  `json:"VoiceConnectorId"`
	Status                  string  `json:"Status"`
	StatusMessage           string  `json:"StatusMessage"`
	SipAuthUser             string  `json:"SipAuthUser,omitempty"`
	BillableDurationSeconds int64   `json:"BillableDurationSeconds"`
	BillableDurationMinutes float64 `json:"BillableDurationMinutes"`
	SchemaVersion           string  `json:"SchemaVersion"`
	SourcePhoneNumber       string  `json:"SourcePhoneNumber"`
	SourceCountry           string  `json:"SourceCountry,omitempty"`
	DestinationPhoneNumber  string  `json:"DestinationPhoneNumber"`
	DestinationCountry      string  `json:"DestinationCountry,omitempty"`
	UsageType               string  `json:"UsageType"`
	ServiceCode             string  `json:"ServiceCode"`
	Direction               string  `json:"Direction"`
	StartTimeEpochSeconds   int64   `json:"StartTimeEpochSeconds"`
	EndTimeEpochSeconds     int64   `json:"EndTimeEpochSeconds"`
	Region                  string  `json:"Region"`
	Streaming               bool    `json:"Streaming"`
	IsProxyCall             *bool   `json:"IsProxyCall,omitempty"`
}

// Key returns the name under which AWS stores the record of a call: the connector, the start of the call in UTC
// and the transaction. It is a relative path with slashes and has no extension. A record without a valid
// connector or call id has no key.
func Key(r *call.Record) (string, bool) {
	if _, ok := parseID(r.ID); !ok || !validConnectorID(r.ConnectorID) {
		return "", false
	}
	return "Amazon-Chime-Voice-Connector-CDRs/json/" + r.ConnectorID +
		r.Start.UTC().Format("/2006/01/02/15.04.05.000_") + string(r.ID), true
}

// Encode returns the record as AWS's JSON, on one line without a newline behind it.
func Encode(r *call.Record) ([]byte, error) {
	seconds := billableSeconds(r)
	a := awsRecord{
		AwsAccountID:            r.Account,
		TransactionID:           string(r.ID),
		CallID:                  r.Customer.SIPCallID,
		VoiceConnectorID:        r.ConnectorID,
		Status:                  "Failed",
		StatusMessage:           statusMessage(r),
		SipAuthUser:             r.AuthUser,
		BillableDurationSeconds: seconds,
		BillableDurationMinutes: float64(seconds) / 60,
		SchemaVersion:           "2.0",
		SourcePhoneNumber:       r.From,
		SourceCountry:           r.FromCountry,
		DestinationPhoneNumber:  r.To,
		DestinationCountry:      r.ToCountry,
		UsageType:               usageType(r),
		ServiceCode:             "AmazonChimeVoiceConnector",
		Direction:               r.Direction,
		StartTimeEpochSeconds:   r.Start.Unix(),
		EndTimeEpochSeconds:     r.End.Unix(),
		Region:                  r.Region,
	}
	if !r.Answered.IsZero() {
		a.Status = "Completed"
	}
	if r.Direction == call.Inbound.String() {
		a.IsProxyCall = new(bool)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// billableSeconds is the time between answer and end, rounded up to the billing step. A call that was never
// answered costs nothing.
func billableSeconds(r *call.Record) int64 {
	if r.Answered.IsZero() {
		return 0
	}
	d := max(r.End.Sub(r.Answered), 0)
	steps := (d + billingStep - 1) / billingStep
	return int64(steps * billingStep / time.Second)
}

// statusMessage is AWS's text for a call that went well, and our sentence for one that did not.
func statusMessage(r *call.Record) string {
	switch {
	case !r.Answered.IsZero() && r.Reason == call.ReasonHangup.String():
		if r.Direction == call.Inbound.String() {
			return "Normal Call Clearing"
		}
		return "OK"
	case r.Sentence != "":
		return r.Sentence
	default:
		return r.Reason
	}
}

// unknownCountry stands in a usage type for a number of no country, as in CLDR.
const unknownCountry = "ZZ"

// usageType is AWS's billing name: region code, countries, direction.
func usageType(r *call.Record) string {
	from, to := r.FromCountry, r.ToCountry
	if from == "" {
		from = unknownCountry
	}
	if to == "" {
		to = unknownCountry
	}
	if r.Direction == call.Inbound.String() {
		return regionCode(r.Region) + "-" + to + "-inbound-minutes"
	}
	return regionCode(r.Region) + "-" + from + "-" + to + "-outbound-minutes"
}

// regionCode returns the short form of a region that AWS's bills use; a region without one is written out.
func regionCode(region string) string {
	switch region {
	case "us-east-1":
		return "USE1"
	case "us-west-2":
		return "USW2"
	case "ca-central-1":
		return "CAN1"
	case "eu-central-1":
		return "EUC1"
	case "eu-west-1":
		return "EU"
	case "eu-west-2":
		return "EUW2"
	case "ap-northeast-1":
		return "APN1"
	case "ap-northeast-2":
		return "APN2"
	case "ap-southeast-1":
		return "APS1"
	case "ap-southeast-2":
		return "APS2"
	}
	return strings.ToUpper(region)
}
