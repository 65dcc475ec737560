package sigv4

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of the protocol.
const (
	// Window is how far a request's date may be from the server's clock, in both directions.
	Window = 15 * time.Minute
	// maxExpires is the longest life of a presigned request.
	maxExpires = 7 * 24 * time.Hour
)

// Key is what a verifier must know of an access key.
type Key struct {
	// Secret is the secret access key.
	Secret string
	// SessionToken must come with every request of a temporary key; empty for a permanent one.
	SessionToken string
	// Expires is when a temporary key ends; zero for never.
	Expires time.Time
}

// Keys looks access keys up. A disabled key is an unknown one.
type Keys interface {
	Secret(ctx context.Context, accessKeyID string) (key Key, ok bool)
}

// Config is what a [Verifier] is made from.
type Config struct {
	// Keys is where access keys come from.
	Keys Keys
	// CacheSize bounds the number of derived signing keys kept; 0 means DefaultCacheSize.
	CacheSize int
	// NormalizePath removes dot segments and empty segments before the path is canonicalised, as some services do.
	NormalizePath bool
	// TokenAfterSigning leaves X-Amz-Security-Token of the query form out of the canonical query, as services do whose
	// clients append it after signing.
	TokenAfterSigning bool
}

// Identity is who signed a request.
type Identity struct {
	// AccessKeyID is the key that signed.
	AccessKeyID string
	// Region of the credential scope, as sent.
	Region string
	// Service of the credential scope.
	Service string
	// Signed is the date of the signature.
	Signed time.Time
	// Expires is the moment after which the signature is refused.
	Expires time.Time
	// Presigned is true for the query form.
	Presigned bool
}

// Verifier verifies signed requests. It is safe for concurrent use.
type Verifier struct {
	config Config
	cache  *keyCache
	// derive is deriveKey; a test counts how often it runs.
	derive  func(secret, day, region, service string) [sha256.Size]byte
	refused [faultEnd]atomic.Uint64
	rooms   sync.Pool // of *[1 << 10]byte, where requests are written in their canonical form
}

// NewVerifier returns a verifier.
func NewVerifier(config Config) *Verifier {
	if config.CacheSize <= 0 {
		config.CacheSize = DefaultCacheSize
	}
	return &Verifier{
		config: config, cache: newKeyCache(config.CacheSize), derive: deriveKey,
		rooms: sync.Pool{New: func() any { return new([1 << 10]byte) }},
	}
}

// Refused returns how many requests were refused for a fault.
func (v *Verifier) Refused(f Fault) uint64 { return v.refused[f%faultEnd].Load() }

// CacheStats returns the counters of the signing-key cache.
func (v *Verifier) CacheStats() CacheStats { return v.cache.stats() }

// Verify checks the signature of a request to a service whose body has been read, at the time now. A signature for
// another service is refused, and its client told the right one. The error is always an [*Error].
func (v *Verifier) Verify(ctx context.Context, r *http.Request, body []byte, service string, now time.Time) (Identity, error) {
	id, err := v.verify(ctx, r, body, service, now)
	if err != nil {
		v.refused[err.Fault].Add(1)
		return Identity{}, err
	}
	return id, nil
}

func (v *Verifier) verify(ctx context.Context, r *http.Request, body []byte, service string, now time.Time) (Identity, *Error) {
	if !validTarget(r) {
		return Identity{}, refuse(IncompleteSignature, "The request target must be a path, or an http URL with a host.")
	}
	path, query := requestTarget(r)
	pairs, err := parseQuery(query)
	if err != nil {
		return Identity{}, err
	}
	c, err := readClaim(r, pairs)
	if err != nil {
		return Identity{}, err
	}
	if err := checkScope(&c, service); err != nil {
		return Identity{}, err
	}
	if err := checkDate(&c, now); err != nil {
		return Identity{}, err
	}
	var scratch [2 * sha256.Size]byte
	bodyHash := hashHex(scratch[:0], body)
	if sent, present := r.Header[headerBodySHA]; present && (len(sent) != 1 || sent[0] != string(bodyHash)) {
		return Identity{}, refuse(BodyHashMismatch, msgBodyHash)
	}
	signed := canonical{
		method: r.Method, path: path, pairs: pairs, header: r.Header, host: r.Host, length: r.ContentLength,
		signed: c.signedHeaders, bodyHash: string(bodyHash), normalize: v.config.NormalizePath,
	}
	if c.presigned {
		signed.omit = v.unsignedParameter
	}
	room := v.rooms.Get().(*[1 << 10]byte)
	toSign := stringToSign(room[:0:512], &c, signed.append(room[512:512]))
	err = v.checkSignature(ctx, &c, toSign, now)
	v.rooms.Put(room)
	if err != nil {
		return Identity{}, err
	}
	return Identity{AccessKeyID: c.accessKeyID, Region: c.region, Service: c.service, Signed: c.moment, Expires: c.moment.Add(c.life()), Presigned: c.presigned}, nil
}

// unsignedParameter names the parameters of the query form that are not part of what is signed.
func (v *Verifier) unsignedParameter(name string) bool {
	return name == "X-Amz-Signature" || name == headerToken && v.config.TokenAfterSigning
}

func checkScope(c *claim, service string) *Error {
	if c.service != service {
		return refuse(InvalidCredentialScope, "Credential should be scoped to correct service: '"+service+"'.")
	}
	if day := c.date[:len(dayLayout)]; c.day != day {
		return refuse(InvalidCredentialScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: the date is '"+c.date+"'.")
	}
	return nil
}

// life is how long after its date a signature is good.
func (c *claim) life() time.Duration {
	if c.expires > 0 {
		return c.expires
	}
	return Window
}

// checkDate holds the date against the clock. The sentences are the ones SDKs recognise as a skewed clock.
func checkDate(c *claim, now time.Time) *Error {
	now = now.UTC()
	life := c.life()
	if c.moment.Before(now.Add(-life)) {
		return refuse(SignatureExpired, "Signature expired: "+c.date+" is now earlier than "+now.Add(-life).Format(dateLayout)+
			" ("+now.Format(dateLayout)+" - "+spell(life)+")")
	}
	if c.moment.After(now.Add(Window)) {
		return refuse(SignatureNotYetCurrent, "Signature not yet current: "+c.date+" is still later than "+now.Add(Window).Format(dateLayout)+
			" ("+now.Format(dateLayout)+" + "+spell(Window)+")")
	}
	return nil
}

// spell writes whole minutes as AWS does, "15 min.", and anything else in Go's form.
func spell(d time.Duration) string {
	if d%time.Minute == 0 {
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "m0s") + " min."
	}
	return d.String()
}

// checkSignature compares the signature, then looks at what only the owner of the key may learn. An unknown key runs
// the same derivation and comparison as a wrong signature does, so that time does not tell them apart.
func (v *Verifier) checkSignature(ctx context.Context, c *claim, toSign []byte, now time.Time) *Error {
	key, known := v.config.Keys.Secret(ctx, c.accessKeyID)
	if !known {
		key.Secret = unknownSecret
	}
	at := cacheKey{accessKeyID: c.accessKeyID, day: c.day, region: c.region, service: c.service}
	signing, cached := v.cache.get(at, key.Secret)
	if !cached {
		signing = v.derive(key.Secret, c.day, c.region, c.service)
	}
	mac := hmacSHA256(signing[:], toSign)
	var want [2 * sha256.Size]byte
	hex.Encode(want[:], mac[:])
	match := subtle.ConstantTimeCompare(want[:], []byte(c.signature)) == 1
	if !match || !known {
		if cached {
			signing = v.derive(unknownSecret, c.day, c.region, c.service)
			v.cache.sink.Store(uint32(signing[0]))
		}
		if !known {
			return refuse(UnrecognizedClient, msgInvalidToken)
		}
		return refuse(InvalidSignature, msgMismatch)
	}
	// Only a right signature may take a place in the cache: nobody without a key can push others out.
	if !cached {
		v.cache.put(at, key.Secret, signing)
	}
	if subtle.ConstantTimeCompare([]byte(key.SessionToken), []byte(c.token)) != 1 {
		return refuse(InvalidToken, msgInvalidToken)
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return refuse(ExpiredToken, msgExpiredToken)
	}
	return nil
}

// unknownSecret stands in for the secret of a key that does not exist; whatever it signs is refused.
const unknownSecret = "no-such-key-no-such-key-no-such-key-0000"

// stringToSign writes date, scope and the hash of the canonical request to b.
func stringToSign(b []byte, c *claim, request []byte) []byte {
	b = append(b, algorithm+"\n"...)
	b = append(append(b, c.date...), '\n')
	b = append(append(b, c.scope...), '\n')
	return hashHex(b, request)
}

// hashHex appends the SHA-256 of data in lower-case hexadecimal.
func hashHex(b, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(b, sum[:])
}

// hmacSHA256 is HMAC (RFC 2104) over texts as short as those here, without the memory crypto/hmac takes each time.
func hmacSHA256(key, data []byte) [sha256.Size]byte {
	var block [sha256.BlockSize]byte
	if len(key) > len(block) {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	copy(block[:], key)
	for i := range block {
		block[i] ^= 0x36
	}
	var room [512]byte
	inner := sha256.Sum256(append(append(room[:0], block[:]...), data...))
	for i := range block {
		block[i] ^= 0x36 ^ 0x5c
	}
	return sha256.Sum256(append(append(room[:0], block[:]...), inner[:]...))
}

// deriveKey derives the signing key of one day, region and service.
func deriveKey(secret, day, region, service string) [sha256.Size]byte {
	key := hmacSHA256([]byte("AWS4"+secret), []byte(day))
	key = hmacSHA256(key[:], []byte(region))
	key = hmacSHA256(key[:], []byte(service))
	return hmacSHA256(key[:], []byte(terminator))
}
