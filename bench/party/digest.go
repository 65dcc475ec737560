package party

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
)

// Authorize answers a challenge with MD5 (RFC 7616 with the algorithm everybody has); empty where none asks for it.
func Authorize(m Message, method, uri, user, password string) string {
	for name, reply := range map[string]string{"Proxy-Authenticate": "Proxy-Authorization", "WWW-Authenticate": "Authorization"} {
		for _, challenge := range m.All(name) {
			if algorithm := parameter(challenge, "algorithm"); algorithm != "" && !strings.EqualFold(algorithm, "MD5") {
				continue
			}
			realm, nonce := parameter(challenge, "realm"), parameter(challenge, "nonce")
			secret, request := sum(user+":"+realm+":"+password), sum(method+":"+uri)
			value := fmt.Sprintf(`%s: Digest username="%s", realm="%s", nonce="%s", uri="%s", algorithm=MD5`, reply, user, realm, nonce, uri)
			if parameter(challenge, "qop") == "" {
				return value + fmt.Sprintf(", response=\"%s\"\r\n", sum(secret+":"+nonce+":"+request))
			}
			response := sum(secret + ":" + nonce + ":00000001:bench:auth:" + request)
			return value + fmt.Sprintf(", qop=auth, nc=00000001, cnonce=\"bench\", response=\"%s\"\r\n", response)
		}
	}
	return ""
}

// parameter finds a parameter of a challenge, quoted or not.
func parameter(challenge, name string) string {
	_, rest, _ := strings.Cut(challenge, " ")
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

func sum(s string) string {
	h := md5.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}
