package pathbias

// whole is how many circuits stayed whole: open ones have the benefit of the doubt.
func (g *guard) whole() float64 { return g.Whole + g.unused + g.inUse }

func (g *guard) usable() float64 { return g.Used + g.inUse }

// step is a level, the rate that it begins below, and whether it was told.
type step struct {
	level Level
	below float64
	told  *bool
}

func (b *Book) lookAtCircuits(g *guard) *Alarm {
	p := &b.params
	return g.look(p.Circuits, Alarm{Successes: g.whole(), Attempts: g.Attempts},
		step{Extreme, p.Extreme, &g.told.extreme}, step{Warn, p.Warn, &g.told.warn}, step{Notice, p.Notice, &g.told.notice})
}

func (b *Book) lookAtUses(g *guard) *Alarm {
	p := &b.params
	return g.look(p.Uses, Alarm{Use: true, Successes: g.usable(), Attempts: g.Uses},
		step{Extreme, p.ExtremeUse, &g.told.extremeUse}, step{Notice, p.NoticeUse, &g.told.noticeUse})
}

// look tells of the worst level, which comes first, that a rate of more than so many
// attempts is below, if that is news.
func (g *guard) look(attempts int, a Alarm, steps ...step) *Alarm {
	if a.Attempts <= float64(attempts) {
		return nil
	}
	for _, s := range steps {
		if a.Successes/a.Attempts >= s.below {
			continue
		}
		if *s.told {
			return nil
		}
		*s.told = true
		a.Guard, a.Level, a.Counts = g.id, s.level, g.Counts
		return &a
	}
	return nil
}

// scaleCircuits makes what was counted before weigh less. Open circuits, whose end is to
// be counted yet, keep their weight.
func (g *guard) scaleCircuits(ratio float64) {
	open := g.unused + g.inUse
	g.Attempts = (g.Attempts-open)*ratio + open
	g.Built = (g.Built-open)*ratio + open
	for _, n := range []*float64{&g.Whole, &g.Collapsed, &g.Unusable, &g.Timeouts} {
		*n *= ratio
	}
}

func (g *guard) scaleUses(ratio float64) {
	g.Uses = (g.Uses-g.inUse)*ratio + g.inUse
	g.Used *= ratio
}
