package netdoc

import "strings"

// Flags is the set of a relay's status flags (dir-spec 3.4.1, the "s" line). Flags we do not know are dropped.
type Flags uint32

// The flags that authorities vote on. FlagRunning and FlagValid hold for every relay of a consensus: authorities
// leave out relays without them, and clients take them as given (dir-spec 3.4.1).
const (
	FlagAuthority Flags = 1 << iota
	FlagBadExit
	FlagExit
	FlagFast
	FlagGuard
	FlagHSDir
	FlagMiddleOnly
	FlagNoEdConsensus
	FlagRunning
	FlagStable
	FlagStaleDesc
	FlagSybil
	FlagV2Dir
	FlagValid
)

// flagNames is in the order of the bits, which is the lexical order that documents use.
var flagNames = [...]string{
	"Authority", "BadExit", "Exit", "Fast", "Guard", "HSDir", "MiddleOnly", "NoEdConsensus",
	"Running", "Stable", "StaleDesc", "Sybil", "V2Dir", "Valid",
}

// Has reports whether every flag of want is set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// String lists the flags as an "s" line does.
func (f Flags) String() string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// flagOf is 0 for a flag we do not know.
func flagOf(name []byte) Flags {
	switch string(name) {
	case "Authority":
		return FlagAuthority
	case "BadExit":
		return FlagBadExit
	case "Exit":
		return FlagExit
	case "Fast":
		return FlagFast
	case "Guard":
		return FlagGuard
	case "HSDir":
		return FlagHSDir
	case "MiddleOnly":
		return FlagMiddleOnly
	case "NoEdConsensus":
		return FlagNoEdConsensus
	case "Running":
		return FlagRunning
	case "Stable":
		return FlagStable
	case "StaleDesc":
		return FlagStaleDesc
	case "Sybil":
		return FlagSybil
	case "V2Dir":
		return FlagV2Dir
	case "Valid":
		return FlagValid
	}
	return 0
}
