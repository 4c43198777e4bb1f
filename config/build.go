package config

import "time"

// buildOptions say how long circuits may take and how long they are kept.
var buildOptions = []Option{
	flag(Option{
		Name: "LearnCircuitBuildTimeout", Default: "1", Class: Hot, Effect: "At once, for circuits that are being built too. Off, what was learned is kept for later.",
		Doc: "Learn from the circuits that are built how long one may take: the slowest fifth is not used, as path-spec §2.4 has it. Until enough is known, slowly some circuits are built only to be measured. What is learned survives a restart; `chive status` shows it.",
	}, func(c *Config) *bool { return &c.LearnCircuitBuildTimeout }),
	interval(Option{
		Name: "CircuitBuildTimeout", Default: "0 seconds", Class: Hot, Effect: "At once, for circuits that are being built too.",
		Doc:     "Give up on a circuit that isn't open after this long: while the timeout is not learned yet, or with LearnCircuitBuildTimeout 0 always. 0 is what the consensus says, 60 seconds if it says nothing.",
		Differs: "A learned timeout holds for circuits through the network; those to a directory always have this one.",
	}, time.Second, 0, time.Hour, func(c *Config) *time.Duration { return &c.CircuitBuildTimeout }),
	interval(Option{
		Name: "CircuitsAvailableTimeout", Default: "30 minutes", Class: Hot, Effect: "At once: unused circuits that are older are closed.",
		Doc:     "Close a circuit that no stream has used for this long.",
		Differs: "C tor's default is 30 to 60 minutes by chance, and connections to relays are kept open along with it.",
	}, time.Second, time.Second, day, func(c *Config) *time.Duration { return &c.CircuitsAvailableTimeout }),
}
