package httpconnect

import (
	"encoding/base64"
	"strings"
)

// Credentials are who asks, by Proxy-Authorization; ok: it was given. Of the Basic scheme
// (RFC 7617) they are the user name and the password, which SOCKS has, too: proposal 365
// has a client give the name tor and isolate by the password. Of any other, and of Basic that
// is malformed, the whole text is the user name, as everything is with C tor.
func (r *Request) Credentials() (user, password string, ok bool) {
	if r.Authorization == nil {
		return "", "", false
	}
	scheme, coded, _ := strings.Cut(*r.Authorization, " ")
	if strings.EqualFold(scheme, "Basic") {
		text, err := base64.StdEncoding.DecodeString(strings.Trim(coded, " "))
		if user, password, found := strings.Cut(string(text), ":"); err == nil && found {
			return user, password, true
		}
	}
	return *r.Authorization, "", true
}
