package netdoc

import (
	"bytes"
	"slices"
	"strings"
)

// maxFamilyEntries bounds one family line; the largest families of the live network have a few hundred relays.
const maxFamilyEntries = 4096

// Family is a relay's declared family (dir-spec 2.1.1 "family"): the relays it says it shares an operator with.
// Two relays are of one family only if each lists the other. A nil *Family lists nobody. Microdescriptors with
// equal family lines share one Family; treat it as read-only.
type Family struct {
	IDs       []Digest // ascending
	Nicknames []string // lower case, ascending
}

// Contains reports whether the family lists a relay, by identity or by nickname in any case.
func (f *Family) Contains(id Digest, nickname string) bool {
	if f == nil {
		return false
	}
	if _, found := slices.BinarySearchFunc(f.IDs, id, compareDigests); found {
		return true
	}
	if len(f.Nicknames) == 0 {
		return false
	}
	_, found := slices.BinarySearch(f.Nicknames, strings.ToLower(nickname))
	return found
}

func compareDigests(a, b Digest) int { return bytes.Compare(a[:], b[:]) }

// parseFamily reads a family line's arguments: "$hexid", "$hexid=name", "$hexid~name" or a nickname each. Entries
// of other forms are skipped, as room for later ones (dir-spec 3.3).
func parseFamily(args fields) (*Family, error) {
	var f Family
	for arg := args.next(); arg != nil; arg = args.next() {
		if len(f.IDs)+len(f.Nicknames) == maxFamilyEntries {
			return nil, ErrTooLarge
		}
		if arg[0] != '$' {
			if isNickname(arg) {
				f.Nicknames = append(f.Nicknames, strings.ToLower(string(arg)))
			}
			continue
		}
		hexID := arg[1:]
		if i := bytes.IndexAny(hexID, "=~"); i >= 0 {
			hexID = hexID[:i]
		}
		if id, ok := parseHexDigest(hexID); ok {
			f.IDs = append(f.IDs, id)
		}
	}
	if len(f.IDs)+len(f.Nicknames) == 0 {
		return nil, nil
	}
	slices.SortFunc(f.IDs, compareDigests)
	f.IDs = slices.Clip(slices.Compact(f.IDs))
	slices.Sort(f.Nicknames)
	f.Nicknames = slices.Clip(slices.Compact(f.Nicknames))
	return &f, nil
}

// isNickname: 1 to 19 letters and digits (tor-spec, dir-spec 2.1.3).
func isNickname(b []byte) bool {
	if len(b) == 0 || len(b) > 19 {
		return false
	}
	for _, c := range b {
		if !keywordChar[c] || c == '-' {
			return false
		}
	}
	return true
}
