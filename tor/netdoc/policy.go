package netdoc

import (
	"slices"
	"strconv"
	"strings"
)

// PortPolicy is an exit-policy summary (dir-spec 3.8.2): the ports a relay says it carries to most addresses.
// The zero value rejects every port, which is what a missing "p" or "p6" line means. It is a hint: only the exit
// itself knows its whole policy.
type PortPolicy struct{ set *portSet }

// portSet holds what is accepted, ascending, without overlaps or neighbours.
type portSet struct{ accepted []portRange }

type portRange struct{ low, high uint16 }

// maxPortRanges bounds one summary; authorities write at most 1000 characters.
const maxPortRanges = 2000

// ParsePortPolicy reads "accept 80,443,8000-8080" or "reject 1-65535".
func ParsePortPolicy(s string) (PortPolicy, error) { return parsePortPolicy([]byte(s)) }

// parsePortPolicy is as lenient as C tor: list entries that do not start with a digit are skipped, as room for
// later formats, while broken numbers refuse the whole summary.
func parsePortPolicy(text []byte) (PortPolicy, error) {
	args := fields(text)
	verb, list := args.next(), args.rest()
	accept := string(verb) == "accept"
	if !accept && string(verb) != "reject" {
		return PortPolicy{}, malformed("policy summary starts with %q, want accept or reject", clip(verb))
	}
	var ranges []portRange
	for len(list) > 0 {
		entry, rest, _ := cutByte(list, ',')
		list = rest
		if len(entry) == 0 || entry[0] < '0' || entry[0] > '9' {
			continue
		}
		r, ok := parsePortRange(entry)
		if !ok {
			return PortPolicy{}, malformed("bad port range %q in policy summary", clip(entry))
		}
		if len(ranges) == maxPortRanges {
			return PortPolicy{}, ErrTooLarge
		}
		ranges = append(ranges, r)
	}
	if len(ranges) == 0 {
		return PortPolicy{}, malformed("policy summary names no ports")
	}
	ranges = joinRanges(ranges)
	if !accept {
		ranges = invertRanges(ranges)
	}
	if len(ranges) == 0 {
		return PortPolicy{}, nil
	}
	return PortPolicy{&portSet{slices.Clip(ranges)}}, nil
}

func parsePortRange(entry []byte) (portRange, bool) {
	lowText, highText, isRange := cutByte(entry, '-')
	low, ok := parseUint(lowText, 65535)
	if !ok || low == 0 {
		return portRange{}, false
	}
	high := low
	if isRange {
		if high, ok = parseUint(highText, 65535); !ok || high < low {
			return portRange{}, false
		}
	}
	return portRange{uint16(low), uint16(high)}, true
}

// joinRanges sorts and merges what overlaps or touches.
func joinRanges(ranges []portRange) []portRange {
	slices.SortFunc(ranges, func(a, b portRange) int { return int(a.low) - int(b.low) })
	out := ranges[:1]
	for _, r := range ranges[1:] {
		last := &out[len(out)-1]
		if int(r.low) <= int(last.high)+1 {
			last.high = max(last.high, r.high)
			continue
		}
		out = append(out, r)
	}
	return out
}

// invertRanges is 1-65535 without the (joined) ranges.
func invertRanges(ranges []portRange) []portRange {
	var out []portRange
	next := 1
	for _, r := range ranges {
		if int(r.low) > next {
			out = append(out, portRange{uint16(next), r.low - 1})
		}
		next = int(r.high) + 1
	}
	if next <= 65535 {
		out = append(out, portRange{uint16(next), 65535})
	}
	return out
}

// Allows reports whether the summary accepts a port. Port 0 is never accepted.
func (p PortPolicy) Allows(port uint16) bool {
	if p.set == nil {
		return false
	}
	i, found := slices.BinarySearchFunc(p.set.accepted, port, func(r portRange, port uint16) int {
		switch {
		case r.high < port:
			return -1
		case r.low > port:
			return 1
		}
		return 0
	})
	return found && i < len(p.set.accepted)
}

// AllowsSome reports whether any port is accepted at all.
func (p PortPolicy) AllowsSome() bool { return p.set != nil }

// String is the policy as a summary line's arguments, always in the "accept" form but for "reject 1-65535".
func (p PortPolicy) String() string {
	if p.set == nil {
		return "reject 1-65535"
	}
	var b strings.Builder
	b.WriteString("accept ")
	for i, r := range p.set.accepted {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(r.low)))
		if r.high > r.low {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(int(r.high)))
		}
	}
	return b.String()
}
