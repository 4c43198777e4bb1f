package circuit

import (
	"errors"
	"fmt"
	"time"

	"chive/tor/cell"
	"chive/tor/netdoc"
)

// Limits.
const (
	// maxStarts is how many machines a circuit may have one after another: an
	// introduction circuit is extended to another relay after a refusal, a few times.
	maxStarts = 8
	// maxSilence is how long a circuit is held open without a cell either way: C tor's
	// longest delay, 2³² µs.
	maxSilence = 4295 * time.Second
)

// ErrPadding is what a relay's message is refused with that is no part of a machine:
// its circuit is to be closed.
var ErrPadding = errors.New("circuit padding: message beyond what was negotiated")

// Params is what the consensus says of circuit padding.
type Params struct {
	Disabled bool
	Reduced  bool // none of the machines is allowed
	// Beyond AllowedCells sent by the whole process, padding may be at most MaxPercent
	// of the cells sent; 0 percent is no limit.
	AllowedCells uint64
	MaxPercent   uint64
}

// ParamsOf reads the parameters of a consensus; nil gives the defaults.
func ParamsOf(p netdoc.Params) Params {
	return Params{
		Disabled:     p.Get("circpad_padding_disabled", 0, 0, 1) == 1,
		Reduced:      p.Get("circpad_padding_reduced", 0, 0, 1) == 1,
		AllowedCells: uint64(p.Get("circpad_global_allowed_cells", 0, 0, 65534)),
		MaxPercent:   uint64(p.Get("circpad_global_max_padding_pct", 0, 0, 100)),
	}
}

// Policy is what the user and the consensus say.
type Policy struct {
	Off     bool // CircuitPadding 0
	Reduced bool // ReducedCircuitPadding 1
	Params  Params
}

func (p Policy) allows() bool {
	return !p.Off && !p.Reduced && !p.Params.Disabled && !p.Params.Reduced
}

// Stage is what a circuit is for, as far as machines ask.
type Stage uint8

// The stages.
const (
	Other        Stage = iota // anything else, among that an introduction circuit before its INTRODUCE1
	Introduced                // INTRODUCE1 has been sent
	Acknowledged              // and INTRODUCE_ACK has come
	Rendezvous                // RENDEZVOUS_ESTABLISHED has come, or anything later
)

// Config is what the padding of a circuit is made of.
type Config struct {
	Able   bool // the second hop offers Padding=2
	Policy Policy
	Draw   func(n int) int // uniform from 0 up to, without, n > 0; nobody may be able to predict it
	// Totals gives the cells that the process has sent, and those of them that were
	// padding by this package. Asked only if the consensus limits it.
	Totals func() (all, padding uint64)
}

// Message is a relay message to the hop Hop, of no stream.
type Message struct {
	Command cell.RelayCommand
	Data    []byte
}

// Padding is that of one circuit. It is not safe for concurrent use.
type Padding struct {
	cfg    Config
	stage  Stage
	now    running
	starts [maxStarts]start
	count  int  // of starts
	failed bool // the relay refused a machine: it is not asked again
}

// start is a machine that was asked of the relay.
type start struct {
	machine *machine
	agreed  bool
	over    bool // the relay pads no more
	drops   int
}

// New makes the padding of a circuit in stage Other.
func New(cfg Config) *Padding { return &Padding{cfg: cfg} }

// Enter tells what the circuit is for now. It appends what to send; of these messages
// Sent is not told. A machine begins when its stage does.
func (p *Padding) Enter(dst []Message, s Stage, now time.Time) []Message {
	if s == p.stage {
		return dst
	}
	p.stage = s
	dst = p.shutDown(dst)
	m := p.wanted()
	if p.now.machine != nil || m == nil || !p.cfg.Able || p.failed || p.count == maxStarts {
		return dst
	}
	p.starts[p.count] = start{machine: m}
	p.count++
	p.now = running{machine: m, counter: uint32(p.count), state: begin}
	dst = append(dst, negotiate(Start, m, p.now.counter))
	p.Sent(now)
	return dst
}

// Configure changes the policy; it appends what to send, as Enter does.
func (p *Padding) Configure(dst []Message, policy Policy) []Message {
	p.cfg.Policy = policy
	return p.shutDown(dst)
}

// shutDown stops the machine if it applies no more.
func (p *Padding) shutDown(dst []Message) []Message {
	m := p.now.machine
	if m == nil || p.wanted() == m || m == &introduction && p.stage == Acknowledged {
		return dst
	}
	dst = append(dst, negotiate(Stop, m, p.now.counter))
	p.now = running{}
	return dst
}

func negotiate(c Command, m *machine, counter uint32) Message {
	return Message{cell.RelayPaddingNegotiate, Negotiate{c, m.number, counter}.Append(nil)}
}

// wanted is the machine of this stage.
func (p *Padding) wanted() *machine {
	switch {
	case !p.cfg.Policy.allows():
		return nil
	case p.stage == Introduced:
		return &introduction
	case p.stage == Rendezvous:
		return &rendezvous
	}
	return nil
}

// Sent tells that a cell went out on the circuit, other than this package's.
func (p *Padding) Sent(now time.Time) {
	if p.now.machine != nil {
		p.now.heard = now
		p.now.step(sent, now, p.cfg.Draw)
	}
}

// Received tells that a cell came on the circuit, other than those for Receive.
func (p *Padding) Received(now time.Time) {
	if p.now.machine != nil {
		p.now.heard = now
	}
}

// Running says that a machine is on the circuit: without one Sent and Received tell nothing.
func (p *Padding) Running() bool { return p.now.machine != nil }

// Due is when Tick is to be called; ok is false if it needn't be.
func (p *Padding) Due() (at time.Time, ok bool) {
	return p.now.due, p.now.machine != nil && !p.now.due.IsZero()
}

// Tick appends the padding that is due; that DROP is not told to Sent.
func (p *Padding) Tick(dst []Message, now time.Time) []Message {
	at, ok := p.Due()
	if !ok || now.Before(at) {
		return dst
	}
	r := &p.now
	r.due = time.Time{}
	if !p.cfg.Policy.allows() || p.limited() {
		return dst
	}
	r.heard = now
	if r.left--; r.left == 0 {
		r.step(complete, now, p.cfg.Draw)
	} else {
		r.schedule(now, p.cfg.Draw)
	}
	return append(dst, Message{Command: cell.RelayDrop})
}

// limited: has the process sent all the padding that the consensus lets it?
func (p *Padding) limited() bool {
	limits := &p.cfg.Policy.Params
	if limits.MaxPercent == 0 {
		return false
	}
	all, padding := p.cfg.Totals()
	return padding >= limits.AllowedCells && all > 0 && 100*padding/all > limits.MaxPercent
}

// Receive takes a DROP or a PADDING_NEGOTIATED that came from a hop, from 1. An error
// wraps ErrPadding, or is of a body that cannot be read.
func (p *Padding) Receive(hop int, m Message, now time.Time) error {
	if hop != Hop {
		return fmt.Errorf("%w: %v from hop %d", ErrPadding, m.Command, hop)
	}
	switch m.Command {
	case cell.RelayDrop:
		return p.drop(now)
	case cell.RelayPaddingNegotiated:
		n, err := ParseNegotiated(m.Data)
		if err != nil {
			return err
		}
		return p.negotiated(n, now)
	}
	return fmt.Errorf("%w: %v", ErrPadding, m.Command)
}

// drop takes a DROP. It is of the machine that the relay has agreed to and not ended:
// there is at most one, as a relay answers in order.
func (p *Padding) drop(now time.Time) error {
	for i := range p.count {
		s := &p.starts[i]
		if !s.agreed || s.over {
			continue
		}
		if s.drops++; s.drops > s.machine.most {
			return fmt.Errorf("%w: %d cells of padding", ErrPadding, s.drops)
		}
		if p.now.machine != nil {
			p.now.heard = now
			if p.now.counter == uint32(i)+1 {
				p.now.step(padded, now, p.cfg.Draw)
			}
		}
		return nil
	}
	return fmt.Errorf("%w: padding", ErrPadding)
}

func (p *Padding) negotiated(n Negotiated, now time.Time) error {
	if n.Counter == 0 || n.Counter > uint32(p.count) {
		return fmt.Errorf("%w: an answer for machine %d of %d", ErrPadding, n.Counter, p.count)
	}
	s := &p.starts[n.Counter-1]
	begins := n.Command == Start && !s.agreed && !s.over
	ends := n.Command == Stop && n.Response == OK && s.agreed && !s.over
	if s.machine.number != n.Machine || !begins && !ends {
		return fmt.Errorf("%w: command %d, response %d for machine %d", ErrPadding, n.Command, n.Response, n.Machine)
	}
	p.Received(now)
	s.agreed = true
	if n.Response == Err {
		p.failed = true
	}
	if n.Command == Stop || n.Response == Err {
		s.over = true
		if p.now.counter == n.Counter {
			p.now = running{}
		}
	}
	return nil
}

// Holds reports whether the circuit is to stay open though its owner is done with it,
// and it has not failed: its machine goes on. Afterwards it stays as long as one that
// was used.
func (p *Padding) Holds(now time.Time) bool {
	m := p.now.machine
	return m != nil && m.holds && now.Sub(p.now.heard) < maxSilence
}
