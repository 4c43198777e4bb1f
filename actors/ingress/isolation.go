package ingress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"net/netip"
	"strings"

	"chive/config"
	"chive/tor/socks"
)

// isolation names the group that a stream belongs to: streams share circuits
// only when everything that their listener isolates by is equal. The name is a
// keyed digest, so that it tells nothing of what went into it and differs in
// each boot.
func isolation(key [32]byte, p config.SocksPort, client netip.Addr, req *socks.Request) string {
	mac := hmac.New(sha256.New, key[:])
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(int64(p.SessionGroup)))
	field := func(used bool, values ...string) {
		if !used {
			mac.Write([]byte{0})
			return
		}
		mac.Write([]byte{1})
		for _, v := range values {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(v)))
			mac.Write(n[:])
			mac.Write([]byte(v))
		}
	}
	field(true, string(number[:]))
	field(p.IsolateClientAddr, client.Unmap().String())
	field(p.IsolateSOCKSAuth, authentication(req), req.Username, req.Password)
	field(p.IsolateClientProtocol, "socks5")
	field(p.IsolateDestAddr, req.Host)
	binary.BigEndian.PutUint64(number[:], uint64(req.Port))
	field(p.IsolateDestPort, string(number[:]))
	sum := mac.Sum(nil)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:8]))
}

func authentication(req *socks.Request) string {
	if req.HasAuth {
		return "password"
	}
	return "none"
}
