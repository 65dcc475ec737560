package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"carillon/trunk"
)

// tokenTag is how many bytes of the authentication tag go into a NextToken.
const tokenTag = 16

// token makes a NextToken from a cursor. It is opaque and bound to account and operation: a client can neither make one
// nor use another account's. It holds no place in time; a later page shows the state of its own moment.
func (r *request) token(operation, cursor string) string {
	return base64.RawURLEncoding.EncodeToString(append(r.tokenMAC(operation, cursor), cursor...))
}

// readToken returns the cursor in a NextToken.
func (r *request) readToken(operation, token string) (string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil && len(raw) > tokenTag {
		cursor := string(raw[tokenTag:])
		if hmac.Equal(raw[:tokenTag], r.tokenMAC(operation, cursor)) {
			return cursor, nil
		}
	}
	return "", trunk.Errorf(trunk.Invalid, "NextToken is not one this operation gave. Start again without it.")
}

func (r *request) tokenMAC(operation, cursor string) []byte {
	mac := hmac.New(sha256.New, r.server.config.TokenKey)
	// No field but the last can hold a zero byte.
	mac.Write([]byte("next-token\x00" + r.principal.Account + "\x00" + operation + "\x00" + cursor))
	return mac.Sum(nil)[:tokenTag]
}
