package circuit

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/handshake"
	padding "chive/tor/padding/circuit"
	"chive/tor/relaycrypto"
)

// Limits of tor-spec §7.3 and §7.4, in cells, and of §5.6.
const (
	circuitWindow    = 1000
	circuitIncrement = 100
	streamWindow     = 500
	streamIncrement  = 50
	relayEarlyBudget = 8
	maxHops          = relayEarlyBudget
	maxHalfClosed    = 1024
	maxStreams       = 32768
	minCircuitWindow = 100
)

// Hop says how to reach one relay of the path.
type Hop struct {
	RSA     [20]byte       // RSA identity digest
	Ed25519 [32]byte       // Ed25519 identity; zero if unknown
	NtorKey [32]byte       // ntor onion key; zero asks for CREATE_FAST (first hop only)
	IPv4    netip.AddrPort // OR address
	IPv6    netip.AddrPort // OR address; zero if none
	// CongestionControl: the relay offers ntor-v3 and congestion control (Relay=4,
	// FlowCtrl=2), and is asked for both. It needs Ed25519.
	CongestionControl bool
	// CGO: the relay offers Counter Galois Onion, too (Relay=5 and 6), and is asked for it.
	// It needs CongestionControl: its cells have no stream-level SENDME.
	CGO bool
}

// asks says whether the hop is reached by ntor-v3.
func (h *Hop) asks() bool { return h.CongestionControl && h.Ed25519 != ([32]byte{}) }

// wish is what the hop is asked for by ntor-v3.
func (h *Hop) wish() handshake.Wish {
	return handshake.Wish{CongestionControl: true, CGO: h.CGO}
}

// Config is what a circuit is made of.
type Config struct {
	ID     cell.CircID          // chosen by the connection, most significant bit set
	Path   []Hop                // guard first, 1 to 8 hops
	Window int                  // initial package window in cells (param circwindow), 100..1000; 0 means 1000
	Rand   io.Reader            // crypto/rand's, but for tests
	Now    func() time.Duration // a clock that never goes back; for hops with congestion control only
	// Linger is how long cells of a stream that we ended may still come from a hop with
	// congestion control; 0 means a minute.
	Linger time.Duration
	FlowParams
	// Leg: once it is open the circuit is a leg of a conflux set and has no streams
	// (leg.go). The last hop must grant congestion control.
	Leg bool
	// Padding is of a circuit to reach an onion service by; nil: none. It needs Now.
	Padding *padding.Config
}

// FlowParams are the network's numbers for hops with congestion control.
type FlowParams struct {
	Congestion congestion.Params // with the consensus's SENDME increment
	XoffClient int               // DATA cells of a stream that wait for its application until the exit is told
	XoffExit   int               // DATA cells of a stream after which the exit may tell us
	XonRate    int               // the same for telling its rate
}

// FlowParamsOf reads a consensus: get gives a parameter by name, within bounds, or the
// default.
func FlowParamsOf(get func(name string, def, low, high int32) int32, path congestion.Path) FlowParams {
	return FlowParams{
		Congestion: congestion.ParamsOf(get, path, congestion.Increment(get)),
		XoffClient: int(get("cc_xoff_client", 500, 1, 10000)),
		XoffExit:   int(get("cc_xoff_exit", 500, 1, 10000)),
		XonRate:    int(get("cc_xon_rate", 500, 1, 5000)),
	}
}

// State is where a circuit is in its life.
type State uint8

// The states; see the diagram in the package comment.
const (
	New State = iota
	Building
	Open
	Closed
)

// Circuit is the client's end of one circuit. It is not safe for concurrent
// use: one actor owns it.
type Circuit struct {
	cfg    Config
	state  State
	stack  relaycrypto.Stack
	early  int // RELAY_EARLY cells left
	fast   *handshake.Fast
	ntor   *handshake.Ntor
	ntor3  *handshake.Ntor3
	facts  []Facts // of the hops reached, and of the one being reached
	failed *Error
	// destroyed: our DESTROY went out.
	destroyed bool

	// Blocked is set by the owner while the connection takes no more cells: a sign of
	// congestion on this end.
	Blocked bool
	flow    flow
	onion   onionState
	kh      [20]byte // of the last hop's handshake

	padding  *padding.Padding // nil: none
	unpadded bool             // what is being sealed is the padding's own
	filler   rand.ChaCha8     // of the space behind a cell's data; 494 bytes of the system's would be 1 µs
	seeded   bool
	over     Carrier // nil: it has hops
	legSent  int     // DATA cells of a leg

	streams    map[cell.StreamID]*stream
	last       *stream // of the last cell: cells come in runs
	lastID     cell.StreamID
	halfClosed []halfClosed // oldest first
	nextID     cell.StreamID
	counters   Counters
}

// Counters are totals over a circuit's life, in cells.
type Counters struct {
	In, Out   uint64
	Padding   uint64 // of Out
	PaddingIn uint64 // of In
	Dropped   uint64 // cells that were on their way when we ended their stream
	Streams   uint32 // streams ever begun
}

// ErrConfig is returned by NewCircuit for a path no circuit can have.
var ErrConfig = errors.New("circuit: bad path")

// NewCircuit checks the configuration and returns a circuit in state New.
func NewCircuit(cfg Config) (*Circuit, error) {
	if len(cfg.Path) == 0 || len(cfg.Path) > maxHops {
		return nil, fmt.Errorf("%w: %d hops, want 1 to %d", ErrConfig, len(cfg.Path), maxHops)
	}
	for i := range cfg.Path {
		if err := cfg.fits(i); err != nil {
			return nil, err
		}
	}
	if cfg.Rand == nil {
		return nil, fmt.Errorf("%w: no source of randomness", ErrConfig)
	}
	if cfg.Window == 0 {
		cfg.Window = circuitWindow
	}
	if cfg.Linger == 0 {
		cfg.Linger = time.Minute
	}
	if cfg.Window < minCircuitWindow || cfg.Window > circuitWindow {
		return nil, fmt.Errorf("%w: window %d, want %d to %d", ErrConfig, cfg.Window, minCircuitWindow, circuitWindow)
	}
	c := &Circuit{cfg: cfg, early: relayEarlyBudget, flow: fixed(cfg.Window), streams: map[cell.StreamID]*stream{}}
	if cfg.Padding != nil && cfg.Now != nil {
		c.padding = padding.New(*cfg.Padding)
	}
	return c, nil
}

// fits checks hop i of the path.
func (cfg *Config) fits(i int) error {
	h := cfg.Path[i]
	if i > 0 && h.NtorKey == ([32]byte{}) {
		return fmt.Errorf("%w: hop %d has no onion key", ErrConfig, i+1)
	}
	if h.asks() && (cfg.Now == nil || cfg.Congestion.SendmeIncrement < 1 || cfg.XoffClient < 1 || cfg.XoffExit < 1 || cfg.XonRate < 1) {
		return fmt.Errorf("%w: hop %d has congestion control, and there are no parameters for it", ErrConfig, i+1)
	}
	if h.CGO && !h.CongestionControl {
		return fmt.Errorf("%w: hop %d has Counter Galois Onion without congestion control", ErrConfig, i+1)
	}
	if i > 0 && !h.IPv4.IsValid() {
		return fmt.Errorf("%w: hop %d has no address", ErrConfig, i+1)
	}
	for j, g := range cfg.Path[:i] {
		if g.RSA == h.RSA && !again(j, i) {
			return fmt.Errorf("%w: hop %d stands in it twice", ErrConfig, i+1)
		}
	}
	return nil
}

// Extend adds a hop to an open circuit that nothing was asked of yet, and appends the cell:
// such a circuit was built before it was known what for. It is Building from then on.
func (c *Circuit) Extend(dst []byte, h Hop) ([]byte, error) {
	if c.state != Open || c.cfg.Leg || c.over != nil || c.onion != plain || c.counters.Streams > 0 {
		return dst, ErrNotOpen
	}
	longer := c.cfg
	longer.Path = append(slices.Clone(c.cfg.Path), h)
	if len(longer.Path) > maxHops {
		return dst, fmt.Errorf("%w: %d hops, want 1 to %d", ErrConfig, len(longer.Path), maxHops)
	}
	if err := longer.fits(len(c.cfg.Path)); err != nil {
		return dst, err
	}
	// What the hop that was the last granted is not for the new one.
	c.cfg, c.state, c.flow = longer, Building, fixed(c.cfg.Window)
	return c.extend(dst)
}

// State reports where the circuit is in its life.
func (c *Circuit) State() State { return c.state }

// ID is the circuit's id on its connection.
func (c *Circuit) ID() cell.CircID { return c.cfg.ID }

// Hops is the number of hops reached so far.
func (c *Circuit) Hops() int { return c.stack.Len() }

// Handshake is the one by which a hop was reached.
type Handshake string

// The handshakes of tor-spec §5.1.
const (
	HandshakeFast  Handshake = "fast"
	HandshakeNtor  Handshake = "ntor"
	HandshakeNtor3 Handshake = "ntor-v3"
)

// Facts is what was agreed with one hop.
type Facts struct {
	Handshake         Handshake
	CongestionControl bool // granted; it rules the circuit if the hop is the last
	CGO               bool // its layer is Counter Galois Onion's, and not tor1's
}

// Facts is what was agreed with a hop that was reached, from 1.
func (c *Circuit) Facts(hop int) Facts { return c.facts[hop-1] }

// CGOHops is how many of the hops reached speak Counter Galois Onion.
func (c *Circuit) CGOHops() (n int) {
	for _, f := range c.facts {
		if f.CGO {
			n++
		}
	}
	return n
}

// Counters returns the totals so far.
func (c *Circuit) Counters() Counters { return c.counters }

// Start appends the cell that asks the first hop for a circuit: CREATE2 with
// ntor, or CREATE_FAST where no onion key is known (tor-spec §5.1).
func (c *Circuit) Start(dst []byte) ([]byte, error) {
	if c.state != New {
		return dst, fmt.Errorf("circuit: started twice")
	}
	c.state = Building
	first := c.cfg.Path[0]
	c.counters.Out++
	if first.NtorKey == ([32]byte{}) {
		fast, body, err := handshake.StartFast(c.cfg.Rand)
		if err != nil {
			return dst, c.fail(&Error{Reason: cell.DestroyInternal, Hop: 1, Err: err})
		}
		c.fast = fast
		c.facts = append(c.facts, Facts{Handshake: HandshakeFast})
		return cell.AppendFixed(dst, c.cfg.ID, cell.CreateFast, body), nil
	}
	htype, skin, err := c.shake(first)
	if err != nil {
		return dst, c.fail(&Error{Reason: cell.DestroyInternal, Hop: 1, Err: err})
	}
	return cell.AppendFixed(dst, c.cfg.ID, cell.Create2, cell.AppendCreate2(nil, htype, skin)), nil
}

// shake begins the handshake with a hop.
func (c *Circuit) shake(h Hop) (htype uint16, skin []byte, err error) {
	if !h.asks() {
		c.facts = append(c.facts, Facts{Handshake: HandshakeNtor})
		c.ntor, skin, err = handshake.StartNtor(c.cfg.Rand, h.RSA, h.NtorKey)
		return handshake.TypeNtor, skin, err
	}
	c.facts = append(c.facts, Facts{Handshake: HandshakeNtor3})
	c.ntor3, skin, err = handshake.StartNtor3(c.cfg.Rand, h.Ed25519, h.NtorKey, handshake.CircuitVerification, h.wish().Message())
	return handshake.TypeNtor3, skin, err
}

// hopKeys are the keys of a hop that was reached, for the scheme agreed with it.
type hopKeys struct {
	tor1 handshake.KeyMaterial
	cgo  *handshake.CGOKeyMaterial // nil: tor1
}

func (k *hopKeys) kh() [20]byte {
	if k.cgo != nil {
		return k.cgo.KH
	}
	return k.tor1.KH
}

func (k *hopKeys) layer() (*relaycrypto.Layer, error) {
	if k.cgo != nil {
		defer k.cgo.Wipe()
		return relaycrypto.NewCGOLayer(k.cgo)
	}
	defer k.tor1.Wipe()
	return relaycrypto.NewLayer(k.tor1)
}

// shaken ends the handshake with the hop that is being reached, and applies what it
// granted if it is the last.
func (c *Circuit) shaken(reply []byte) (keys hopKeys, err error) {
	if c.ntor3 == nil {
		keys.tor1, err = c.ntor.Finish(reply)
		return keys, err
	}
	wish := c.cfg.Path[c.stack.Len()].wish()
	var stream [handshake.CGOKeyMaterialLen]byte // the stream's start is the same for fewer
	defer clear(stream[:])
	said, err := c.ntor3.Finish(reply, stream[:])
	if err != nil {
		return keys, err
	}
	granted, err := wish.Granted(said, c.cfg.Congestion.SendmeIncrement)
	if err != nil {
		return keys, err
	}
	facts := &c.facts[c.stack.Len()]
	facts.CongestionControl, facts.CGO = granted.SendmeIncrement > 0, wish.CGO
	if granted.SendmeIncrement > 0 && c.stack.Len() == len(c.cfg.Path)-1 {
		p := c.cfg.Congestion
		p.SendmeIncrement = granted.SendmeIncrement
		c.flow.vegas, c.flow.increment = congestion.New(p), granted.SendmeIncrement
	}
	if wish.CGO {
		cgo := handshake.CGOKeyMaterialOf(&stream)
		keys.cgo = &cgo
		return keys, nil
	}
	keys.tor1 = handshake.KeyMaterialOf((*[handshake.KeyMaterialLen]byte)(stream[:]))
	return keys, nil
}

// CongestionControl says whether the last hop granted it.
func (c *Circuit) CongestionControl() bool { return c.flow.vegas != nil || c.over != nil }

// Destroy ends the circuit from our side and appends the DESTROY cell. The
// reason on the wire is always NONE: a client's reasons are nobody's business
// (tor-spec §5.4). Nothing is appended if the far side destroyed it, or twice.
func (c *Circuit) Destroy(dst []byte) []byte {
	silent := c.over != nil || c.state == New || c.destroyed || c.failed != nil && errors.Is(c.failed, ErrDestroyed)
	c.state = Closed
	if silent {
		return dst
	}
	c.destroyed = true
	c.counters.Out++
	return cell.AppendFixed(dst, c.cfg.ID, cell.Destroy, cell.AppendDestroy(nil, cell.DestroyNone))
}

// seal appends one relay cell for hop (0-based), with no more data than the hop's
// format holds, encrypted and ready for the wire.
func (c *Circuit) seal(dst []byte, command cell.Command, hop int, h cell.RelayHeader, data []byte) []byte {
	if c.over != nil {
		c.counters.Out++
		c.over.Send(h.Cmd, h.Stream, data)
		return dst
	}
	start := len(dst)
	dst = c.plain(dst, command, hop, h, data)
	c.wrap(dst[start:], command, hop)
	return dst
}

// plain appends a cell whose body is plaintext still, but taken by the hop's digest.
func (c *Circuit) plain(dst []byte, command cell.Command, hop int, h cell.RelayHeader, data []byte) []byte {
	start := len(dst)
	dst = append(dst, zeroCell[:]...)
	cell.PutHeader(dst[start:], c.cfg.ID, command)
	body := dst[start+cell.FixedLen-cell.BodyLen:]
	h.Length = len(data)
	space := c.stack.Format(hop).Put(body, h)
	copy(space, data)
	c.pad(space[len(data):])
	c.stack.Take(body, hop)
	return dst
}

// wrap seals what plain has appended. For a run of cells plain may be one ahead, if the stack
// says so.
func (c *Circuit) wrap(plain []byte, command cell.Command, hop int) {
	c.stack.Wrap(command, plain[cell.FixedLen-cell.BodyLen:cell.FixedLen], hop)
	c.counters.Out++
	if !c.unpadded && c.padded() {
		c.padding.Sent(c.now())
	}
}

var zeroCell [cell.FixedLen]byte

// pad fills the space after the data: four zero bytes, then random ones as far as there is
// room (tor-spec §6.1), so that what a SENDME must prove cannot be guessed (proposal 289,
// §3.3), and hops that see the content see what other clients send. A full cell needs none,
// for its content is not known to the far end before it arrives.
func (c *Circuit) pad(space []byte) {
	const gap = 4
	if len(space) <= gap {
		return
	}
	if !c.seeded {
		// A failure leaves zeros, which is legal; crypto/rand does not fail.
		var seed [32]byte
		if _, err := io.ReadFull(c.cfg.Rand, seed[:]); err != nil {
			return
		}
		c.filler.Seed(seed)
		c.seeded = true
	}
	_, _ = c.filler.Read(space[gap:]) // it never fails
}
