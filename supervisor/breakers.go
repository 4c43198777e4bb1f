package supervisor

import "chive/supervisor/retry"

// keepBreakers is how many breakers are kept before those that have nothing to
// remember are dropped.
const keepBreakers = 256

// breakerKey keeps breakers of different kinds apart.
func (sl *slot) breakerKey() string { return sl.strategy.Kind + "\x00" + sl.Key }

// breaker finds or makes the breaker of a child's key; nil if its kind has
// none.
func (c *Children) breaker(sl *slot) *Breaker {
	if sl.strategy.Breaker == nil {
		return nil
	}
	id := sl.breakerKey()
	if b := c.breakers[id]; b != nil {
		return b
	}
	config, kind, key := *sl.strategy.Breaker, sl.strategy.Kind, sl.Key
	config.Now = c.o.Now
	config.OnChange = func(change retry.Change) {
		c.o.OnChange(StateChanged{Kind: kind, Key: key, State: State(change.To.String()), Breaker: change, Delay: change.RetryAfter})
	}
	b := retry.NewBreaker(config)
	c.breakers[id] = b
	return b
}

// sweep drops quiet breakers that no child uses, so that an owner that has
// seen every relay of the network does not remember them all.
func (c *Children) sweep() {
	if len(c.breakers) < keepBreakers {
		return
	}
	used := make(map[string]bool, len(c.slots))
	for _, sl := range c.slots {
		used[sl.breakerKey()] = true
	}
	for id, b := range c.breakers {
		if !used[id] && b.Quiet() {
			delete(c.breakers, id)
		}
	}
}
