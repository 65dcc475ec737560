package sip

import "encoding/binary"

// HeaderID names a header this package knows. Long and compact forms share one.
type HeaderID uint8

// The known headers. HdrOther is every other name; look those up by text.
const (
	HdrOther HeaderID = iota
	HdrAccept
	HdrAcceptEncoding
	HdrAcceptLanguage
	HdrAlertInfo
	HdrAllow
	HdrAllowEvents
	HdrAuthenticationInfo
	HdrAuthorization
	HdrCallID
	HdrCallInfo
	HdrContact
	HdrContentDisposition
	HdrContentEncoding
	HdrContentLanguage
	HdrContentLength
	HdrContentType
	HdrCSeq
	HdrDate
	HdrDiversion
	HdrErrorInfo
	HdrEvent
	HdrExpires
	HdrFrom
	HdrGeolocation
	HdrGeolocationRouting
	HdrHistoryInfo
	HdrIdentity
	HdrInReplyTo
	HdrMaxForwards
	HdrMIMEVersion
	HdrMinExpires
	HdrMinSE
	HdrOrganization
	HdrPAssertedIdentity
	HdrPath
	HdrPChargingVector
	HdrPPreferredIdentity
	HdrPriority
	HdrPrivacy
	HdrProxyAuthenticate
	HdrProxyAuthorization
	HdrProxyRequire
	HdrRAck
	HdrReason
	HdrRecordRoute
	HdrReferTo
	HdrReferredBy
	HdrRemotePartyID
	HdrReplaces
	HdrReplyTo
	HdrRequire
	HdrRetryAfter
	HdrRoute
	HdrRSeq
	HdrServer
	HdrSessionExpires
	HdrSubject
	HdrSubscriptionState
	HdrSupported
	HdrTimestamp
	HdrTo
	HdrUnsupported
	HdrUserAgent
	HdrUserToUser
	HdrVia
	HdrWarning
	HdrWWWAuthenticate
	headerCount
)

const (
	// list marks headers whose values may share a line, split by commas
	// (RFC 3261 §7.3.1). The authentication headers are not among them: there
	// commas part parameters.
	list headerFlags = 1 << iota
	// single marks headers whose second line makes a message ambiguous: two
	// elements that each believe a different one is how requests are smuggled.
	single
)

type headerFlags uint8

type headerInfo struct {
	name    string
	compact byte // 0 for none
	flags   headerFlags
}

var headers = [headerCount]headerInfo{
	HdrAccept:             {"Accept", 0, list},
	HdrAcceptEncoding:     {"Accept-Encoding", 0, list},
	HdrAcceptLanguage:     {"Accept-Language", 0, list},
	HdrAlertInfo:          {"Alert-Info", 0, list},
	HdrAllow:              {"Allow", 0, list},
	HdrAllowEvents:        {"Allow-Events", 'u', list},
	HdrAuthenticationInfo: {"Authentication-Info", 0, 0},
	HdrAuthorization:      {"Authorization", 0, 0},
	HdrCallID:             {"Call-ID", 'i', single},
	HdrCallInfo:           {"Call-Info", 0, list},
	HdrContact:            {"Contact", 'm', list},
	HdrContentDisposition: {"Content-Disposition", 0, 0},
	HdrContentEncoding:    {"Content-Encoding", 'e', list},
	HdrContentLanguage:    {"Content-Language", 0, list},
	HdrContentLength:      {"Content-Length", 'l', single},
	HdrContentType:        {"Content-Type", 'c', single},
	HdrCSeq:               {"CSeq", 0, single},
	HdrDate:               {"Date", 0, 0},
	HdrDiversion:          {"Diversion", 0, list},
	HdrErrorInfo:          {"Error-Info", 0, list},
	HdrEvent:              {"Event", 'o', 0},
	HdrExpires:            {"Expires", 0, 0},
	HdrFrom:               {"From", 'f', single},
	HdrGeolocation:        {"Geolocation", 0, list},
	HdrGeolocationRouting: {"Geolocation-Routing", 0, 0},
	HdrHistoryInfo:        {"History-Info", 0, list},
	HdrIdentity:           {"Identity", 'y', list},
	HdrInReplyTo:          {"In-Reply-To", 0, list},
	HdrMaxForwards:        {"Max-Forwards", 0, single},
	HdrMIMEVersion:        {"MIME-Version", 0, 0},
	HdrMinExpires:         {"Min-Expires", 0, 0},
	HdrMinSE:              {"Min-SE", 0, 0},
	HdrOrganization:       {"Organization", 0, 0},
	HdrPAssertedIdentity:  {"P-Asserted-Identity", 0, list},
	HdrPath:               {"Path", 0, list},
	HdrPChargingVector:    {"P-Charging-Vector", 0, 0},
	HdrPPreferredIdentity: {"P-Preferred-Identity", 0, list},
	HdrPriority:           {"Priority", 0, 0},
	HdrPrivacy:            {"Privacy", 0, 0},
	HdrProxyAuthenticate:  {"Proxy-Authenticate", 0, 0},
	HdrProxyAuthorization: {"Proxy-Authorization", 0, 0},
	HdrProxyRequire:       {"Proxy-Require", 0, list},
	HdrRAck:               {"RAck", 0, 0},
	HdrReason:             {"Reason", 0, list},
	HdrRecordRoute:        {"Record-Route", 0, list},
	HdrReferTo:            {"Refer-To", 'r', 0},
	HdrReferredBy:         {"Referred-By", 'b', 0},
	HdrRemotePartyID:      {"Remote-Party-ID", 0, list},
	HdrReplaces:           {"Replaces", 0, 0},
	HdrReplyTo:            {"Reply-To", 0, 0},
	HdrRequire:            {"Require", 0, list},
	HdrRetryAfter:         {"Retry-After", 0, 0},
	HdrRoute:              {"Route", 0, list},
	HdrRSeq:               {"RSeq", 0, 0},
	HdrServer:             {"Server", 0, 0},
	HdrSessionExpires:     {"Session-Expires", 'x', 0},
	HdrSubject:            {"Subject", 's', 0},
	HdrSubscriptionState:  {"Subscription-State", 0, 0},
	HdrSupported:          {"Supported", 'k', list},
	HdrTimestamp:          {"Timestamp", 0, 0},
	HdrTo:                 {"To", 't', single},
	HdrUnsupported:        {"Unsupported", 0, list},
	HdrUserAgent:          {"User-Agent", 0, 0},
	HdrUserToUser:         {"User-to-User", 0, list},
	HdrVia:                {"Via", 'v', list},
	HdrWarning:            {"Warning", 0, list},
	HdrWWWAuthenticate:    {"WWW-Authenticate", 0, 0},
}

// String returns the header's long name in its usual spelling, "" for HdrOther.
func (id HeaderID) String() string {
	if id >= headerCount {
		return ""
	}
	return headers[id].name
}

const (
	// maxKnownName is the length of the longest known name.
	maxKnownName = 20
	// bucketDepth is how many known names share a length and a first letter at most.
	bucketDepth = 4
)

// byShape finds the known headers of one length and first letter: with at most
// four candidates a name is settled by one or two comparisons of its key.
type byShape [maxKnownName + 1][26][bucketDepth]HeaderID

var (
	shapes   = headerShapes()
	compacts = headerCompacts()
	prefixes = headerPrefixes()
)

// headerPrefixes are what a line begins with: name, colon and space.
func headerPrefixes() (t [headerCount]string) {
	for id := HdrOther + 1; id < headerCount; id++ {
		t[id] = headers[id].name + ": "
	}
	return t
}

func headerShapes() (t byShape) {
	for id := HdrOther + 1; id < headerCount; id++ {
		name := headers[id].name
		bucket := &t[len(name)][(name[0]|0x20)-'a']
		for i := range bucket {
			if bucket[i] == HdrOther {
				bucket[i] = id
				break
			}
		}
	}
	return t
}

func headerCompacts() (t [26]HeaderID) {
	for id := HdrOther + 1; id < headerCount; id++ {
		if c := headers[id].compact; c != 0 {
			t[c-'a'] = id
		}
	}
	return t
}

// ParseHeaderID returns the header with this name, long or compact, in any
// case; HdrOther if it is none this package knows.
func ParseHeaderID(name []byte) HeaderID {
	if !all(name, chToken) {
		return HdrOther
	}
	return headerID(name)
}

// headerID is ParseHeaderID of a name that is known to be a token, and not empty.
func headerID(name []byte) HeaderID {
	first := (name[0] | 0x20) - 'a'
	if len(name) > maxKnownName || first >= 26 {
		return HdrOther
	}
	if len(name) == 1 {
		return compacts[first]
	}
	key := foldKey(name)
	for i := range bucketDepth {
		id := shapes[len(name)][first][i]
		if id == HdrOther {
			break
		}
		if keys[id] == key {
			if len(name) > 16 && !equalFold(name, headers[id].name) {
				continue
			}
			return id
		}
	}
	return HdrOther
}

// A nameKey is the first and the last eight octets of a name, in lower case: for
// names of up to 16 octets all there is.
type nameKey struct{ head, tail uint64 }

var keys = headerKeys()

func headerKeys() (t [headerCount]nameKey) {
	for id := HdrOther + 1; id < headerCount; id++ {
		t[id] = foldKey([]byte(headers[id].name))
	}
	return t
}

// foldKey sets the bit of lower case in every octet of a token of at least two
// octets. Among the octets a token may have, this makes none equal but letters
// that differ in case; outside, CR would equal "-".
func foldKey(b []byte) nameKey {
	const fold = 0x2020202020202020
	n := len(b)
	switch {
	case n >= 8:
		return nameKey{binary.LittleEndian.Uint64(b) | fold, binary.LittleEndian.Uint64(b[n-8:]) | fold}
	case n >= 4:
		return nameKey{uint64(binary.LittleEndian.Uint32(b)) | fold, uint64(binary.LittleEndian.Uint32(b[n-4:])) | fold}
	}
	return nameKey{uint64(b[0])<<8 | uint64(b[1]) | fold, uint64(b[n-1]) | fold}
}

// Field is one header line, its folds undone. Name and Value lie in the
// message's buffer; Value has no white space around it.
type Field struct {
	ID    HeaderID
	Name  []byte
	Value []byte
}
