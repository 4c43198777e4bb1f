package circuits

// Who asks the circuits something is answered when they have stopped, or stop before they come
// to it.

// Drop implements kernel.Droppable: there are no circuits just now.
func (m *Renew) Drop() { m.Reply.Send(0) }

// Drop implements kernel.Droppable.
func (m *List) Drop() { m.Tell(nil) }

// Drop implements kernel.Droppable: circuits that are started anew begin with what was learned.
func (m *ForgetTimes) Drop() { m.Reply.Send(-1) }
