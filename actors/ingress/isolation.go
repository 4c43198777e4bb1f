package ingress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"strconv"

	"chive/config"
	"chive/tor/isolation"
)

// isolated says what a stream must share to share a circuit, and what it is in the
// respects that others may care for. Its epoch is for the circuits to tell. group is the
// listener's, for one without SessionGroup, and id the stream's.
func isolated(key *[32]byte, p config.SocksPort, group, id string, client netip.AddrPort, a *asked) isolation.Token {
	t := isolation.Make(key)
	if p.SessionGroup < 0 {
		t.Set(isolation.SessionGroup, true, "listener", group)
	} else {
		t.Set(isolation.SessionGroup, true, "group", strconv.Itoa(p.SessionGroup))
	}
	t.Set(isolation.ClientAddr, p.IsolateClientAddr, client.Addr().Unmap().String())
	t.Set(isolation.SOCKSAuth, p.IsolateSOCKSAuth, a.auth...)
	t.Set(isolation.ClientProtocol, p.IsolateClientProtocol, a.protocol)
	t.Set(isolation.DestPort, p.IsolateDestPort, strconv.Itoa(int(a.port)))
	t.Set(isolation.DestAddr, p.IsolateDestAddr, a.original)
	t.Set(isolation.ClientPort, p.IsolateClientPort, source(client, id))
	return t.Token
}

// enter puts texts into a digest, so that no others give the same.
func enter(mac hash.Hash, values ...string) {
	for _, v := range values {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(v))))
		mac.Write([]byte(v))
	}
}

// Identity is the token of a user name, or with password of both: a keyed digest, as the
// values of isolation are. Who gives them by SOCKS and by HTTP is one identity, on circuits
// that differ, since what isolates (asked.auth) does.
func Identity(key [32]byte, user string, password *string) string {
	mac := hmac.New(sha256.New, key[:])
	enter(mac, "identity", user)
	if password != nil {
		enter(mac, *password)
	}
	return isolation.Short(mac.Sum(nil))
}

func identities(key [32]byte, a *asked) []string {
	if !a.named {
		return nil
	}
	return []string{Identity(key, a.user, nil), Identity(key, a.user, &a.password)}
}

// source names the client's port; a unix socket has none, so that each
// connection is its own.
func source(client netip.AddrPort, id string) string {
	if !client.IsValid() {
		return "stream " + id
	}
	return strconv.Itoa(int(client.Port()))
}
