package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// dirAuthority reads "[nickname] [flags] IPV4:DIRPORT FINGERPRINT"; the
// fingerprint may be split by spaces.
func (b *builder) dirAuthority(l Line) {
	a, err := parseDirAuthority(strings.Fields(l.Value))
	if err != nil {
		b.fail(l, ErrValue, "%v", err)
		return
	}
	for _, other := range b.cfg.DirAuthorities {
		if other.V3Ident == a.V3Ident {
			b.fail(l, ErrConflict, "the v3ident %s is given twice: each authority has one vote", a.V3Ident)
			return
		}
	}
	b.cfg.DirAuthorities = append(b.cfg.DirAuthorities, a)
}

func parseDirAuthority(words []string) (DirAuthority, error) {
	a := DirAuthority{Weight: 1}
	if len(words) > 0 && legalNickname(words[0]) {
		a.Nickname, words = words[0], words[1:]
	}
	var orPort uint16
	for len(words) > 0 && (words[0][0] < '0' || words[0][0] > '9') {
		if err := a.flag(words[0], &orPort); err != nil {
			return a, err
		}
		words = words[1:]
	}
	if len(words) < 2 {
		return a, fmt.Errorf("needs an address with DirPort and a fingerprint after the flags")
	}
	dir, err := parseAddrPort(words[0])
	if err != nil {
		return a, err
	}
	if !dir.Addr().Is4() {
		return a, fmt.Errorf("%s is not IPv4; IPv6 goes into ipv6=", words[0])
	}
	if a.Fingerprint, err = parseFingerprint(strings.Join(words[1:], "")); err != nil {
		return a, err
	}
	if a.V3Ident == (Fingerprint{}) {
		return a, fmt.Errorf("v3ident= is missing: without it no consensus can be checked")
	}
	if orPort == 0 {
		return a, fmt.Errorf("orport= is missing: chive speaks to authorities through their ORPort only")
	}
	a.DirPort = dir
	a.ORPort = netip.AddrPortFrom(dir.Addr(), orPort)
	return a, nil
}

func (a *DirAuthority) flag(word string, orPort *uint16) (err error) {
	name, value, _ := strings.Cut(word, "=")
	switch strings.ToLower(name) {
	case "orport":
		*orPort, err = parsePort(value)
	case "v3ident":
		a.V3Ident, err = parseFingerprint(value)
	case "weight":
		a.Weight, err = parseWeight(value)
	case "ipv6":
		if a.IPv6.IsValid() {
			return fmt.Errorf("ipv6= is given twice")
		}
		a.IPv6, err = parseIPv6Port(value)
	case "no-v2", "hs", "no-hs": // obsolete: every line may carry them, none means anything
	case "bridge":
		return fmt.Errorf("bridge authorities are not supported yet")
	case "upload", "download", "vote":
		return fmt.Errorf("%s= concerns plain DirPorts, which chive never uses", name)
	default:
		return fmt.Errorf("unknown flag %q", clip(word))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(name), err)
	}
	return nil
}

// legalNickname: 1 to 19 letters and digits (dir-spec 2.1.1).
func legalNickname(s string) bool {
	return len(s) <= 19 && !strings.Contains(s, "-") && validToken(strings.ToLower(s))
}

// fallbackDir reads "ADDR[:DIRPORT] orport=PORT id=HEX [ipv6=…] [weight=…]".
func (b *builder) fallbackDir(l Line) {
	f, err := parseFallbackDir(strings.Fields(l.Value))
	if err != nil {
		b.fail(l, ErrValue, "%v", err)
		return
	}
	for _, other := range b.cfg.FallbackDirs {
		if other.Fingerprint == f.Fingerprint {
			b.fail(l, ErrConflict, "the relay %s is given twice", f.Fingerprint)
			return
		}
	}
	b.cfg.FallbackDirs = append(b.cfg.FallbackDirs, f)
}

func parseFallbackDir(words []string) (FallbackDir, error) {
	f := FallbackDir{Weight: 1}
	var orPort uint16
	var place string
	for _, word := range words {
		name, value, isFlag := strings.Cut(word, "=")
		var err error
		switch {
		case !isFlag && place == "":
			place = word
		case !isFlag:
			err = fmt.Errorf("a second address: %q", clip(word))
		case name == "orport":
			orPort, err = parsePort(value)
		case name == "id":
			f.Fingerprint, err = parseFingerprint(value)
		case name == "weight":
			f.Weight, err = parseWeight(value)
		case strings.EqualFold(name, "ipv6") && f.IPv6.IsValid():
			err = fmt.Errorf("ipv6= is given twice")
		case strings.EqualFold(name, "ipv6"):
			f.IPv6, err = parseIPv6Port(value)
		default:
			err = fmt.Errorf("unknown flag %q", clip(word))
		}
		if err != nil {
			return f, err
		}
	}
	switch {
	case place == "":
		return f, fmt.Errorf("the address is missing")
	case f.Fingerprint == (Fingerprint{}):
		return f, fmt.Errorf("id= is missing: a relay must prove who it is")
	case orPort == 0:
		return f, fmt.Errorf("orport= is missing: chive speaks to relays through their ORPort only")
	}
	return f, f.place(place, orPort)
}

func (f *FallbackDir) place(text string, orPort uint16) error {
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		dir, err := parseAddrPort(text)
		if err != nil {
			return err
		}
		addr = dir.Addr()
	}
	if addr = addr.Unmap(); addr.Zone() != "" {
		return fmt.Errorf("%q has a zone; write the address without it", clip(text))
	}
	at := netip.AddrPortFrom(addr, orPort)
	switch {
	case addr.Is4():
		f.IPv4 = at
	case f.IPv6.IsValid():
		return fmt.Errorf("two IPv6 addresses")
	default:
		f.IPv6 = at
	}
	return nil
}

func showAuthorities(c *Config) []string {
	if c.PublicNetwork {
		return nil
	}
	var out []string
	for _, a := range c.DirAuthorities {
		text := fmt.Sprintf("orport=%d v3ident=%s", a.ORPort.Port(), a.V3Ident)
		if a.Nickname != "" {
			text = a.Nickname + " " + text
		}
		out = append(out, text+showPlace(a.IPv6, a.Weight)+" "+a.DirPort.String()+" "+a.Fingerprint.String())
	}
	return out
}

func showFallbacks(c *Config) []string {
	if c.DefaultFallbacks {
		return nil
	}
	var out []string
	for _, f := range c.FallbackDirs {
		at, second := f.IPv4, f.IPv6
		if !at.IsValid() {
			at, second = f.IPv6, netip.AddrPort{}
		}
		out = append(out, fmt.Sprintf("%s orport=%d id=%s", at.Addr(), at.Port(), f.Fingerprint)+showPlace(second, f.Weight))
	}
	return out
}

// showPlace is the flags that authorities and fallback directories share.
func showPlace(ipv6 netip.AddrPort, weight float64) string {
	var text string
	if ipv6.IsValid() {
		text += " ipv6=" + ipv6.String()
	}
	if weight != 1 {
		text += " weight=" + strconv.FormatFloat(weight, 'f', -1, 64)
	}
	return text
}
