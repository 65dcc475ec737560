package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"carillon/trunk"
)

// token makes a NextToken from a cursor. It is bound to account and operation, and encrypted: a client can neither make
// one, nor use another account's, nor read the cursor, which may name what is behind the page and not the client's. It
// holds no place in time; a later page shows the state of its own moment.
//
// The nonce is a MAC of all that is sealed, so that one nonce is never used for two messages, and no randomness is needed.
func (r *request) token(operation, cursor string) string {
	tokens, bound := &r.server.tokens, r.tokenBound(operation)
	mac := hmac.New(sha256.New, tokens.nonces)
	mac.Write(append(bound, cursor...))
	nonce := mac.Sum(nil)[:tokens.aead.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(tokens.aead.Seal(nonce, nonce, []byte(cursor), bound))
}

// readToken returns the cursor in a NextToken.
func (r *request) readToken(operation, token string) (string, error) {
	tokens := &r.server.tokens
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if size := tokens.aead.NonceSize(); err == nil && len(raw) > size {
		if cursor, err := tokens.aead.Open(nil, raw[:size], raw[size:], r.tokenBound(operation)); err == nil {
			return string(cursor), nil
		}
	}
	return "", trunk.Errorf(trunk.Invalid, "NextToken is not one this operation gave. Start again without it.")
}

// tokenBound is what a token is bound to. No field of it can hold a zero byte.
func (r *request) tokenBound(operation string) []byte {
	return []byte(r.principal.Account + "\x00" + operation + "\x00")
}

// tokenKeys seal cursors.
type tokenKeys struct {
	aead   cipher.AEAD
	nonces []byte
}

func newTokenKeys(key []byte) (tokenKeys, error) {
	derive := func(use string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(use))
		return mac.Sum(nil)
	}
	block, err := aes.NewCipher(derive("next-token"))
	if err != nil {
		return tokenKeys{}, err
	}
	aead, err := cipher.NewGCM(block)
	return tokenKeys{aead: aead, nonces: derive("next-token nonce")}, err
}
