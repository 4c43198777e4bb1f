package relaymsg

import (
	"net/netip"
	"slices"
	"testing"

	"chive/tor/cell"
)

func TestPointOf(t *testing.T) {
	addr := func(s string) cell.LinkSpec { return cell.AddrSpec(netip.MustParseAddrPort(s)) }
	rsa, ed := cell.RSASpec([20]byte{1}), cell.Ed25519Spec([32]byte{2})
	key := [32]byte{3}
	good := []cell.LinkSpec{addr("8.8.8.8:9001"), rsa, ed}
	p, ok := PointOf(append(good[:3:3], cell.LinkSpec{Type: 99, Body: []byte("mark")}, addr("9.9.9.9:1")), key, false)
	want := Point{RSA: [20]byte{1}, Ed25519: [32]byte{2}, IPv4: netip.MustParseAddrPort("8.8.8.8:9001"), OnionKey: key}
	if !ok || p != want {
		t.Errorf("%+v", p)
	}
	if got := p.Specs(); !slices.EqualFunc(got, good, func(a, b cell.LinkSpec) bool { return a.Type == b.Type && string(a.Body) == string(b.Body) }) {
		t.Errorf("%+v", got)
	}
	for name, specs := range map[string][]cell.LinkSpec{
		"none": nil, "no RSA identity": {addr("8.8.8.8:9001"), ed}, "no address": {rsa, ed}, "IPv6 alone": {addr("[2600::1]:1"), rsa},
		"port 0": {addr("8.8.8.8:0"), rsa}, "zero identity": {addr("8.8.8.8:1"), cell.RSASpec([20]byte{})},
		"loopback": {addr("127.0.0.1:1"), rsa}, "private": {addr("10.0.0.1:1"), rsa}, "private IPv6 behind": {addr("8.8.8.8:1"), rsa, addr("[fc00::1]:1")},
		"documentation": {addr("192.0.2.1:1"), rsa}, "shared": {addr("100.64.0.1:1"), rsa},
	} {
		if _, ok := PointOf(specs, key, false); ok {
			t.Errorf("%s: taken", name)
		}
	}
	if _, ok := PointOf([]cell.LinkSpec{addr("127.0.0.1:1"), rsa}, key, true); !ok {
		t.Error("a private network's relay is refused where it is allowed")
	}
	if _, ok := PointOf(good, [32]byte{}, false); ok {
		t.Error("no onion key")
	}
}
