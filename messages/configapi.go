package messages

import (
	"context"
	"time"
)

// ConfigSource says through which mouth a change of configuration came.
type ConfigSource string

// The mouths of the configuration actor.
const (
	ConfigFromStart   ConfigSource = "start"   // what the node started with
	ConfigFromFile    ConfigSource = "file"    // the torrc, or a file it includes, changed on disk
	ConfigFromSignal  ConfigSource = "signal"  // SIGHUP
	ConfigFromReload  ConfigSource = "reload"  // chive reload, through the control socket
	ConfigFromControl ConfigSource = "control" // an operator, through the control socket
	ConfigFromFleet   ConfigSource = "fleet"   // a signed revision in the fleet's key-value bucket
)

// Asked: did an operator ask for the files to be read again?
func (s ConfigSource) Asked() bool { return s == ConfigFromSignal || s == ConfigFromReload }

// ConfigLine is one option with its value as a torrc would say it. Several lines with one
// name are the values of a list. An empty Value with Reset set takes the option back to
// what the file, the environment and the command line say.
type ConfigLine struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Reset bool   `json:"reset,omitempty"`
	// Append adds the service of a HiddenServiceDir line to those that are hosted
	// otherwise, in place of replacing them; Remove takes out one that was added so: Value
	// is its folder. From control only.
	Append bool `json:"append,omitempty"`
	Remove bool `json:"remove,omitempty"`
}

// ConfigProposal asks the node to change its configuration as a whole or not at all.
// A proposal with no lines and Source file, signal or reload means: read the files again.
type ConfigProposal struct {
	Source ConfigSource `json:"source"`
	// FleetRevision is the revision in the fleet's bucket; 0 when Source is not fleet. One
	// that is less than an earlier one is refused.
	FleetRevision uint64 `json:"fleet_revision,omitempty"`
	// FleetUndo has the fleet's lines replaced by those of before FleetRevision, which was
	// taken already and is not taken again.
	FleetUndo bool `json:"fleet_undo,omitempty"`
	// Author is the public key that signed a fleet revision, or "" for a local change.
	Author string `json:"author,omitempty"`
	// Lines are set over what the same source, control or fleet, set before; with Replace
	// set they replace all of it.
	Lines   []ConfigLine `json:"lines,omitempty"`
	Replace bool         `json:"replace,omitempty"`
	// Keep has what Lines append outlive the run. All of them must append.
	Keep bool `json:"keep,omitempty"`
	// DryRun validates and plans, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// ConfigRevert asks the node to go back to a revision: what differs is set as by the
// operator.
type ConfigRevert struct {
	Revision uint64 `json:"revision"`
	// Services has the onion services that were added while the node ran (ConfigLine.Append)
	// go back, too. Without it they stay as they are.
	Services bool `json:"services,omitempty"`
	DryRun   bool `json:"dry_run,omitempty"`
}

// ConfigChange is one option's change in a plan.
type ConfigChange struct {
	Option string `json:"option"`
	Old    string `json:"old"`    // as torrc lines would say it, a value a line; "" for none
	New    string `json:"new"`    // likewise
	Effect string `json:"effect"` // "hot", "rebuild" or "restart"
	Note   string `json:"note"`   // when it takes effect, or why it needs a restart
}

// ConfigResult is the configuration actor's answer to a proposal.
type ConfigResult struct {
	// Revision is the node's own revision number after the proposal, from 1 upward.
	Revision uint64 `json:"revision"`
	// Applied says that the configuration asked for is in force, but for the Changes whose
	// effect is "restart". Of a dry run: that it would be, as far as can be told.
	Applied bool `json:"applied"`
	// Reason says, when the proposal was not applied, what was wrong and the remedy.
	Reason  string         `json:"reason,omitempty"`
	Changes []ConfigChange `json:"changes,omitempty"`
	// Unkept says why what was to outlive the run may not: the change is in force, and
	// could not be written down.
	Unkept string `json:"unkept,omitempty"`
	// Wrong says that what was proposed, or stands in the files, can be in force on no node:
	// an unknown option, a bad value, two that exclude each other.
	Wrong bool `json:"wrong,omitempty"`
	// Notes tell what else was found, and changes with the proposal, beside options: in the
	// folders that they name.
	Notes []ConfigNote `json:"notes,omitempty"`
	// Already says that what was asked for was in force before: nothing has changed, and the
	// revision is the one that was there.
	Already bool `json:"already,omitempty"`
}

// ConfigNote is one thing that an operator is told of what options name.
type ConfigNote struct {
	Path    string `json:"path"` // the folder or file; "": it is about none
	Text    string `json:"text"`
	Warning bool   `json:"warning,omitempty"` // it is not as somebody wanted it
}

// ConfigTarget is what a mouth outside the actors hands proposals to. It is safe for use by
// many goroutines; ProposeConfig returns when the proposal was committed or aborted, or ctx
// is done (the error then says that the outcome is not known). A proposal that was refused
// is a ConfigResult with its Reason, and no error.
type ConfigTarget interface {
	ProposeConfig(ctx context.Context, p ConfigProposal) (ConfigResult, error)
}

// ConfigSetting is one option as it is in force.
type ConfigSetting struct {
	Option string   `json:"option"`
	Values []string `json:"values"` // as torrc lines would say them; none: not set, or compiled in
	Origin string   `json:"origin"` // default, file, environment, command line, fleet or chive config set
	Class  string   `json:"class"`  // hot, rebuild or restart
}

// ConfigView is the configuration in force.
type ConfigView struct {
	Revision      uint64          `json:"revision"`
	FleetRevision uint64          `json:"fleet_revision,omitempty"` // the last one that was applied
	Settings      []ConfigSetting `json:"settings"`
	Waiting       []ConfigChange  `json:"waiting,omitempty"`  // what the files say and a restart would bring
	Rejected      string          `json:"rejected,omitempty"` // why the last proposal was refused; "" if it was not
}

// ConfigRevision is one entry of the history: a configuration that was in force, or a
// proposal that was rejected, whose Revision is 0.
type ConfigRevision struct {
	Revision      uint64         `json:"revision,omitempty"`
	Time          time.Time      `json:"time"`
	Source        ConfigSource   `json:"source"`
	FleetRevision uint64         `json:"fleet_revision,omitempty"`
	Author        string         `json:"author,omitempty"`
	RevertOf      uint64         `json:"revert_of,omitempty"` // the revision gone back to
	Changes       []ConfigChange `json:"changes,omitempty"`
	Reason        string         `json:"reason,omitempty"` // why it was rejected
}

// ConfigReader is what is asked about the configuration. It is safe for use by many
// goroutines.
type ConfigReader interface {
	ConfigView(ctx context.Context) (ConfigView, error)
	// ConfigHistory is the revisions and rejections that are remembered, oldest first.
	ConfigHistory(ctx context.Context) ([]ConfigRevision, error)
	// ConfigDiff is what differs between two revisions; 0 is what is in force.
	ConfigDiff(ctx context.Context, from, to uint64) ([]ConfigChange, error)
	// RevertConfig goes back to a revision.
	RevertConfig(ctx context.Context, r ConfigRevert) (ConfigResult, error)
}

// ConfigControl is both.
type ConfigControl interface {
	ConfigTarget
	ConfigReader
}
