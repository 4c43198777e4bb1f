package netdoc

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Protocol is the name of a subprotocol in protocol lists (tor-spec 9).
type Protocol string

// The subprotocols of the network today. Numbers of one protocol are independent capabilities: having Relay=5
// does not imply Relay=4.
const (
	ProtoConflux   Protocol = "Conflux"
	ProtoCons      Protocol = "Cons"
	ProtoDesc      Protocol = "Desc"
	ProtoDirCache  Protocol = "DirCache"
	ProtoFlowCtrl  Protocol = "FlowCtrl"
	ProtoHSDir     Protocol = "HSDir"
	ProtoHSIntro   Protocol = "HSIntro"
	ProtoHSRend    Protocol = "HSRend"
	ProtoLink      Protocol = "Link"
	ProtoLinkAuth  Protocol = "LinkAuth"
	ProtoMicrodesc Protocol = "Microdesc"
	ProtoPadding   Protocol = "Padding"
	ProtoRelay     Protocol = "Relay"
)

const (
	maxProtocolVersion = 63 // as in C tor: a set fits a word
	maxProtocolName    = 100
	maxProtocols       = 256
)

// Protocols is a set of subprotocol capabilities, such as "Link=4-5 Relay=2". The zero value is the empty set.
// Relays with equal "pr" lines share one set.
type Protocols struct{ set *protocolSet }

type protocolSet struct {
	entries []protocolEntry // ascending by name, none empty
}

type protocolEntry struct {
	name     Protocol
	versions uint64 // bit n: version n
}

// ParseProtocols reads a protocol list (dir-spec 2.1.1 "proto"): "Name=1-3,5 Other=2". Unknown names are kept.
func ParseProtocols(s string) (Protocols, error) { return parseProtocols([]byte(s)) }

func parseProtocols(text []byte) (Protocols, error) {
	var set protocolSet
	list := fields(text)
	for entry := list.next(); entry != nil; entry = list.next() {
		name, ranges, ok := cutByte(entry, '=')
		if !ok || len(name) == 0 || len(name) > maxProtocolName || !isKeyword(name) {
			return Protocols{}, malformed("bad protocol entry %q", clip(entry))
		}
		versions, ok := parseVersions(ranges)
		if !ok {
			return Protocols{}, malformed("bad versions in protocol entry %q", clip(entry))
		}
		if len(set.entries) == maxProtocols {
			return Protocols{}, ErrTooLarge
		}
		if versions != 0 { // "Name=" lists nothing
			set.entries = append(set.entries, protocolEntry{Protocol(name), versions})
		}
	}
	if len(set.entries) == 0 {
		return Protocols{}, nil
	}
	set.normalize()
	return Protocols{&set}, nil
}

// normalize sorts by name and joins entries of one name.
func (s *protocolSet) normalize() {
	slices.SortStableFunc(s.entries, func(a, b protocolEntry) int { return cmp.Compare(a.name, b.name) })
	out := s.entries[:1]
	for _, e := range s.entries[1:] {
		if last := &out[len(out)-1]; last.name == e.name {
			last.versions |= e.versions
			continue
		}
		out = append(out, e)
	}
	s.entries = slices.Clip(out)
}

// parseVersions reads "1-3,5"; empty text is the empty set.
func parseVersions(text []byte) (versions uint64, ok bool) {
	for len(text) > 0 {
		part, rest, comma := cutByte(text, ',')
		if comma && len(rest) == 0 {
			return 0, false
		}
		text = rest
		lowText, highText, isRange := cutByte(part, '-')
		low, ok := parseUint(lowText, maxProtocolVersion)
		if !ok {
			return 0, false
		}
		high := low
		if isRange {
			if high, ok = parseUint(highText, maxProtocolVersion); !ok || high < low {
				return 0, false
			}
		}
		versions |= ^uint64(0) << low & (^uint64(0) >> (maxProtocolVersion - high))
	}
	return versions, true
}

func isKeyword(b []byte) bool {
	for _, c := range b {
		if !keywordChar[c] {
			return false
		}
	}
	return true
}

func (p Protocols) versions(name Protocol) uint64 {
	if p.set == nil {
		return 0
	}
	for _, e := range p.set.entries { // a dozen entries: no search beats this loop
		if e.name == name {
			return e.versions
		}
	}
	return 0
}

// Supports reports whether the set has this version of a subprotocol.
func (p Protocols) Supports(name Protocol, version uint) bool {
	return version <= maxProtocolVersion && p.versions(name)&(1<<version) != 0
}

// IsEmpty reports whether the set lists nothing.
func (p Protocols) IsEmpty() bool { return p.set == nil }

// Missing is what p lists and have does not: for required protocols, why we must not use the network
// (tor-spec 9).
func (p Protocols) Missing(have Protocols) Protocols {
	if p.set == nil {
		return Protocols{}
	}
	var out protocolSet
	for _, e := range p.set.entries {
		if missing := e.versions &^ have.versions(e.name); missing != 0 {
			out.entries = append(out.entries, protocolEntry{e.name, missing})
		}
	}
	if len(out.entries) == 0 {
		return Protocols{}
	}
	return Protocols{&out}
}

// String is the set in the form that documents use, sorted by name.
func (p Protocols) String() string {
	if p.set == nil {
		return ""
	}
	var b strings.Builder
	for i, e := range p.set.entries {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(e.name))
		b.WriteByte('=')
		writeVersions(&b, e.versions)
	}
	return b.String()
}

func writeVersions(b *strings.Builder, versions uint64) {
	first := true
	for v := 0; v <= maxProtocolVersion; v++ {
		if versions&(1<<v) == 0 {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		low := v
		for v < maxProtocolVersion && versions&(1<<(v+1)) != 0 {
			v++
		}
		b.WriteString(strconv.Itoa(low))
		if v > low {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(v))
		}
	}
}
