package config

import "time"

// Guards is what the user says of guards; 0 is the consensus's.
type Guards struct {
	NumPrimaryGuards   int
	NumEntryGuards     int // of these, for circuits
	NumDirectoryGuards int // and for directories
	GuardLifetime      time.Duration
}

// maxGuards bounds the primary guards; the guards' state has the same bound.
const maxGuards = 10

const guardsDiffer = "C tor has no upper bound."

var guardOptions = []Option{
	number(Option{
		Name: "NumPrimaryGuards", Default: "0", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "From the next circuit on.",
		Doc:     "How many guards are preferred to all others. Each may see when this client uses the network. 0 is what the consensus says (`guard-n-primary-guards`), 3 if it says nothing.",
		Differs: guardsDiffer,
	}, "guards", 0, maxGuards, func(c *Config) *int { return &c.NumPrimaryGuards }),
	number(Option{
		Name: "NumEntryGuards", Default: "0", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "From the next circuit on; circuits through others stay.",
		Doc:     "How many of the primary guards are in use at once, one of them at random for each circuit; no more than there are primary ones. A conflux set (ConfluxEnabled) has a guard for each of its circuits, the first ones, so that with 1 two are used, as in C tor; for one guard alone set ConfluxEnabled to 0. 0 is what the consensus says (`guard-n-primary-guards-to-use`), 2 if it says nothing.",
		Differs: guardsDiffer + " Its default without a word of the consensus is 1.",
	}, "guards", 0, maxGuards, func(c *Config) *int { return &c.NumEntryGuards }),
	number(Option{
		Name: "NumDirectoryGuards", Default: "0", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "From the next directory request on.",
		Doc:     "How many of the primary guards directory requests go to, one of them at random for each; while one fails, the next primary one takes its place. 0 is what the consensus says (`guard-n-primary-dir-guards-to-use`), 2 if it says nothing.",
		Differs: guardsDiffer + " Its default without a word of the consensus is 3.",
	}, "guards", 0, maxGuards, func(c *Config) *int { return &c.NumDirectoryGuards }),
	guardLifetime(),
}

func guardLifetime() Option {
	o := interval(Option{
		Name: "GuardLifetime", Default: "0 seconds", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: guards that are older are replaced.",
		Doc:     "How long a guard is kept, from when it was sampled or, once a circuit opened through it, from then; dates are moved to the past at random, by up to a tenth. 0 is what the consensus says, 120 and 60 days if it says nothing.",
		Differs: "Less than a day, which C tor takes for 0, is refused.",
	}, time.Second, 0, 3650*day, func(c *Config) *time.Duration { return &c.GuardLifetime })
	o.Range = "0, or " + Interval(day) + " to " + Interval(3650*day)
	within := o.apply
	o.apply = func(b *builder, l Line) {
		within(b, l)
		if d := b.cfg.GuardLifetime; d > 0 && d < day {
			b.cfg.GuardLifetime = 0
			b.fail(l, ErrValue, "%s is out of range: %s", clip(l.Value), o.Range)
		}
	}
	return o
}

// checkGuards checks what needs more than one line.
func (b *builder) checkGuards() {
	g := &b.cfg.Guards
	if g.NumPrimaryGuards > 0 && g.NumEntryGuards > g.NumPrimaryGuards {
		b.fail(b.set["NumEntryGuards"], ErrConflict, "NumEntryGuards %d is more than NumPrimaryGuards %d", g.NumEntryGuards, g.NumPrimaryGuards)
	}
	if l, ok := b.set["NumEntryGuards"]; ok && g.NumEntryGuards > 2 {
		b.warn(l, "each guard in use is one more relay that sees this client's address and when it is active")
	}
	if l, ok := b.set["GuardLifetime"]; ok && g.GuardLifetime > 0 && g.GuardLifetime < month {
		b.warn(l, "the more often guards change, the sooner one of them is somebody's who watches")
	}
}
