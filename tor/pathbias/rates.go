package pathbias

// whole is how many circuits stayed whole: open ones have the benefit of the doubt.
func (g *guard) whole() float64 { return g.Whole + g.unused + g.inUse }

func (g *guard) usable() float64 { return g.Used + g.inUse }

// lookAtCircuits tells of the worst level that the rate of circuits that stayed whole is
// below, if that is news.
func (b *Book) lookAtCircuits(g *guard) *Alarm {
	p := &b.params
	if g.Attempts <= float64(p.Circuits) {
		return nil
	}
	var (
		level Level
		told  *bool
	)
	switch rate := g.whole() / g.Attempts; {
	case rate < p.Extreme:
		level, told = Extreme, &g.told.extreme
	case rate < p.Warn:
		level, told = Warn, &g.told.warn
	case rate < p.Notice:
		level, told = Notice, &g.told.notice
	default:
		return nil
	}
	return once(told, Alarm{Guard: g.id, Level: level, Counts: g.Counts, Successes: g.whole(), Attempts: g.Attempts})
}

func (b *Book) lookAtUses(g *guard) *Alarm {
	p := &b.params
	if g.Uses <= float64(p.Uses) {
		return nil
	}
	var (
		level Level
		told  *bool
	)
	switch rate := g.usable() / g.Uses; {
	case rate < p.ExtremeUse:
		level, told = Extreme, &g.told.extremeUse
	case rate < p.NoticeUse:
		level, told = Notice, &g.told.noticeUse
	default:
		return nil
	}
	return once(told, Alarm{Guard: g.id, Level: level, Use: true, Counts: g.Counts, Successes: g.usable(), Attempts: g.Uses})
}

func once(told *bool, a Alarm) *Alarm {
	if *told {
		return nil
	}
	*told = true
	return &a
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
