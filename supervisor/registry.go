package supervisor

// keepBreakers is how many breakers are kept before those that have nothing to
// remember are dropped.
const keepBreakers = 256

// breaker finds or makes the breaker of a key.
func (s *Supervisor) breaker(key string) *Breaker {
	if b := s.breakers[key]; b != nil {
		return b
	}
	b := NewBreaker(s.Breaker)
	b.OnChange = func(_, to BreakerState) { s.OnChange(StateChanged{Key: key, State: State(to.String())}) }
	s.breakers[key] = b
	return b
}

// sweep drops quiet breakers that no child uses, so that a supervisor that has
// seen every relay of the network does not remember them all.
func (s *Supervisor) sweep() {
	if len(s.breakers) < keepBreakers {
		return
	}
	used := make(map[string]bool, len(s.slots))
	for _, sl := range s.slots {
		used[sl.Key] = true
	}
	now := s.Now()
	for key, b := range s.breakers {
		if !used[key] && b.quiet(now) {
			delete(s.breakers, key)
		}
	}
}
