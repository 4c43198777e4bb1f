package ingress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"net/netip"
	"strconv"
	"strings"

	"chive/config"
)

// isolation names the group that a stream belongs to: streams share circuits
// only when everything that their listener isolates by is equal. What it
// isolates by is part of the name, so that a change of the flags joins no stream
// to circuits of other rules. The name is a keyed digest, so that it tells nothing
// of what went into it and differs in each boot. group is the listener's, for one
// without SessionGroup, and id the stream's.
func isolation(key [32]byte, p config.SocksPort, group, id string, client netip.AddrPort, a *asked) string {
	mac := hmac.New(sha256.New, key[:])
	field := func(used bool, values ...string) {
		if !used {
			mac.Write([]byte{0})
			return
		}
		mac.Write([]byte{1})
		enter(mac, values...)
	}
	field(p.SessionGroup < 0, group)
	field(p.SessionGroup >= 0, strconv.Itoa(p.SessionGroup))
	field(p.IsolateClientAddr, client.Addr().Unmap().String())
	field(p.IsolateSOCKSAuth, a.auth...)
	field(p.IsolateClientProtocol, a.protocol)
	field(p.IsolateDestAddr, a.original)
	field(p.IsolateDestPort, strconv.Itoa(int(a.port)))
	field(p.IsolateClientPort, source(client, id))
	return token(mac)
}

// enter puts texts into a digest, so that no others give the same.
func enter(mac hash.Hash, values ...string) {
	for _, v := range values {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(v))))
		mac.Write([]byte(v))
	}
}

// token is a digest's short name.
func token(mac hash.Hash) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:8]))
}

// Identity is the token of a SOCKS user name, or with password of both: a keyed
// digest, as isolation is.
func Identity(key [32]byte, user string, password *string) string {
	mac := hmac.New(sha256.New, key[:])
	enter(mac, "identity", user)
	if password != nil {
		enter(mac, *password)
	}
	return token(mac)
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
