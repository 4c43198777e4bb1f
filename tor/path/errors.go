package path

import (
	"errors"
	"fmt"
)

// ErrNoPath: no relay can take a position. It comes as a *NoPathError.
var ErrNoPath = errors.New("no path")

// Position is what a relay is to be in a circuit.
type Position uint8

// The positions.
const (
	Guard Position = iota
	Middle
	Exit
	Directory // the only hop of a directory circuit
	positions
)

func (p Position) String() string {
	switch p {
	case Guard:
		return "guard"
	case Middle:
		return "middle"
	case Exit:
		return "exit"
	case Directory:
		return "directory"
	default:
		return fmt.Sprintf("position %d", uint8(p))
	}
}

// Rule is a reason why a relay may not take a position, in the order in which
// the rules are asked.
type Rule uint8

// The rules.
const (
	ruleNone Rule = iota
	// RulePosition: flags, keys or policy forbid the position in general.
	RulePosition
	// RuleGuards: none of the guards given is a guard in this consensus.
	RuleGuards
	// RuleMicrodescriptor: the guard that comes first has no usable
	// microdescriptor here yet.
	RuleMicrodescriptor
	// RuleStable: the port is long-lived and the relay is not Stable.
	RuleStable
	// RulePort: the exit policy summary refuses the port.
	RulePort
	// RuleExcluded: the caller excluded the relay.
	RuleExcluded
	// RuleSameRelay: the relay is in the path already.
	RuleSameRelay
	// RuleFamily: a relay of its family is in the path.
	RuleFamily
	// RuleSubnet: a relay of its IPv4 /16 or IPv6 /32 is in the path.
	RuleSubnet
)

var ruleText = [...]string{
	ruleNone:            "none",
	RulePosition:        "no relay has the flags, keys and policy for it",
	RuleGuards:          "none of our guards is a guard in this consensus",
	RuleMicrodescriptor: "the microdescriptor of our guard is missing",
	RuleStable:          "the port needs Stable relays",
	RulePort:            "no exit policy carries the port",
	RuleExcluded:        "every relay left is excluded",
	RuleSameRelay:       "every relay left is in the path already",
	RuleFamily:          "every relay left has family in the path",
	RuleSubnet:          "every relay left shares a subnet with the path",
}

func (r Rule) String() string {
	if int(r) < len(ruleText) {
		return ruleText[r]
	}
	return fmt.Sprintf("rule %d", uint8(r))
}

// NoPathError tells which position stayed empty and which rule took the last
// candidates away. It is an ErrNoPath.
type NoPathError struct {
	Position Position
	Rule     Rule
}

func (e *NoPathError) Error() string {
	return fmt.Sprintf("no path: no %s: %s", e.Position, e.Rule)
}

// Is makes errors.Is(err, ErrNoPath) true.
func (e *NoPathError) Is(target error) bool { return target == ErrNoPath }
