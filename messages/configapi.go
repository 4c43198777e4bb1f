package messages

import "context"

// ConfigSource says through which mouth a change of configuration came.
type ConfigSource string

// The four mouths of the configuration actor.
const (
	ConfigFromFile    ConfigSource = "file"    // the torrc, or a file it includes, changed on disk
	ConfigFromSignal  ConfigSource = "signal"  // SIGHUP, or chive reload
	ConfigFromControl ConfigSource = "control" // an operator, through the control socket
	ConfigFromFleet   ConfigSource = "fleet"   // a signed revision in the fleet's key-value bucket
)

// ConfigLine is one option with its value as a torrc would say it. An empty Value with
// Reset set takes the option back to what the file, the environment and the command line
// say.
type ConfigLine struct {
	Name  string
	Value string
	Reset bool
}

// ConfigProposal asks the node to change its configuration as a whole or not at all.
// A proposal with no lines and Source file or signal means: read the files again.
type ConfigProposal struct {
	Source ConfigSource
	// FleetRevision is the revision in the fleet's bucket; 0 when Source is not fleet.
	FleetRevision uint64
	// Author is the public key that signed a fleet revision, or "" for a local change.
	Author string
	// Lines replace the live overlay when Replace is set, else they are set over it.
	Lines   []ConfigLine
	Replace bool
	// DryRun validates and plans, and changes nothing.
	DryRun bool
}

// ConfigChange is one option's change in a plan.
type ConfigChange struct {
	Option   string
	Old, New string // as a torrc would say them; a secret value is shown as "[set]"
	Effect   string // "hot", "rebuild" or "restart"
}

// ConfigResult is the configuration actor's answer to a proposal.
type ConfigResult struct {
	// Revision is the node's own revision number after the proposal, from 1 upward.
	Revision uint64
	Applied  bool
	// Reason says, when the proposal was not applied, what was wrong and the remedy.
	Reason  string
	Changes []ConfigChange
}

// ConfigTarget is what a mouth outside the actors hands proposals to. It is safe for use by
// many goroutines; ProposeConfig returns when the proposal was committed or aborted, or ctx
// is done (the error then says that the outcome is not known).
type ConfigTarget interface {
	ProposeConfig(ctx context.Context, p ConfigProposal) (ConfigResult, error)
}
