package host

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"chive/tor/cell"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// DefaultPoints is how many introduction points a service has unless told.
const DefaultPoints = 3

// ErrConfig: settings that no service can have.
var ErrConfig = errors.New("onion service settings")

// Config is what a user decides. It can be changed while the service runs
// ([Service.Configure]).
type Config struct {
	// Points is the number of introduction points, 1 to descriptor.MaxIntroPoints.
	Points int
	// DoS asks introduction points to slow clients down; nil: as the relay does
	// by itself. Relays that cannot are not asked.
	DoS *relaymsg.DoSParams
	// Restricted: only Clients may read the descriptor. With no clients the
	// service is not published.
	Restricted bool
	// Clients are their x25519 public keys.
	Clients [][32]byte
	// PoW is nil when no proof of work is asked for.
	PoW *PoW
	// Shared: other nodes host the service too, and one at a time publishes it: see
	// [Service.Share].
	Shared bool
	// Masters are services that list introduction points of this one as theirs
	// (OnionBalance): their clients are met like its own. At most MaxMasters.
	Masters []onion.Address
	// Seeds are what they derive the seeds of proofs of work from; only with Shared.
	Seeds pow.SeedKey
}

// PoW is at which rate clients that paid are met, a second, with a burst. Zero is
// as fast as can be.
type PoW struct {
	Rate, Burst int
	// Period is the time between two looks at the effort to suggest, and at least that
	// between two descriptors that only suggest another; zero: five minutes and one.
	Period time.Duration
}

// period is how often the effort is looked at.
func (p *PoW) period() time.Duration {
	if p.Period > 0 {
		return p.Period
	}
	return pow.UpdatePeriod
}

// gap is how long a descriptor stays before another effort is suggested.
func (p *PoW) gap() time.Duration {
	if p.Period > 0 {
		return min(p.Period, minGap)
	}
	return minGap
}

func (c *Config) check() error {
	if c.Points < 1 || c.Points > descriptor.MaxIntroPoints {
		return fmt.Errorf("%w: %d introduction points, want 1 to %d", ErrConfig, c.Points, descriptor.MaxIntroPoints)
	}
	if d := c.DoS; d != nil {
		if _, err := relaymsg.AppendEstablishIntro(nil, probeKey, [20]byte{}, d); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	if p := c.PoW; p != nil && (p.Rate < 0 || p.Burst < p.Rate || p.Period < 0) {
		return fmt.Errorf("%w: proof of work: burst %d is below the rate %d, or the period %v below zero", ErrConfig, p.Burst, p.Rate, p.Period)
	}
	if c.Shared && c.PoW != nil && c.Seeds == (pow.SeedKey{}) {
		return fmt.Errorf("%w: proof of work with other nodes needs seeds that all agree on", ErrConfig)
	}
	if err := c.checkMasters(); err != nil {
		return err
	}
	if len(c.Clients) > 0 && !c.Restricted {
		return fmt.Errorf("%w: clients of a service that everyone may find", ErrConfig)
	}
	return nil
}

// clone is a copy that shares nothing with the caller's.
func (c *Config) clone() Config {
	out := *c
	out.Clients, out.Masters = slices.Clone(c.Clients), slices.Clone(c.Masters)
	slices.SortFunc(out.Clients, compareKeys)
	out.Clients = slices.Compact(out.Clients)
	if c.DoS != nil {
		d := *c.DoS
		out.DoS = &d
	}
	if c.PoW != nil {
		p := *c.PoW
		out.PoW = &p
	}
	return out
}

// revokes: could someone read the descriptor before who may not now?
func (c *Config) revokes(before *Config) bool {
	if !c.Restricted {
		return false
	}
	if !before.Restricted {
		return true
	}
	return slices.ContainsFunc(before.Clients, func(k [32]byte) bool { return !slices.Contains(c.Clients, k) })
}

func sameDoS(a, b *relaymsg.DoSParams) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// Relay is one relay as an introduction point.
type Relay struct {
	Identity netdoc.Digest
	Specs    []cell.LinkSpec // as descriptors list them
	OnionKey [32]byte        // ntor
	DoS      bool            // understands DoS parameters (HSIntro=5)
}

// Relays chooses introduction points. It is a view of one consensus and does not
// change.
type Relays interface {
	// Pick chooses a relay fit to be an introduction point that exclude does not
	// hold; false if there is none.
	Pick(exclude func(netdoc.Digest) bool) (Relay, bool)
	// Find gives a relay of the consensus that is fit to be one.
	Find(id netdoc.Digest) (Relay, bool)
}

// View is the network as one consensus tells it.
type View struct {
	onion.Network
	// Until is when the consensus is too old to publish by.
	Until time.Time
	// Ring gives the relays that store descriptors, on the ring of a slot. It is the same
	// for all services of a node, and may be made once for all.
	Ring   func(onion.Slot) *onion.Ring
	Relays Relays
	// FlowControl is what the service offers its clients; nil: none.
	FlowControl *descriptor.FlowControl
	// AllowPrivate: rendezvous points may have addresses of private networks.
	AllowPrivate bool
	Params       Params
}

// Params are consensus parameters.
type Params struct {
	MinLifetime, MaxLifetime   time.Duration // of an introduction point
	MinIntroduce, MaxIntroduce int           // INTRODUCE2 messages that wear one out
	Extra                      int           // introduction points tried beyond those needed
	Attempts                   int           // circuits built for one meeting
}

// ParamsOf reads a consensus. Out of order bounds count as their lower one.
func ParamsOf(p netdoc.Params) Params {
	seconds := func(name string, def int32) time.Duration {
		// No life is shorter than the time it takes to be published.
		return time.Duration(p.Get(name, def, 0, 1<<31-1)) * time.Second
	}
	out := Params{
		MinLifetime:  max(seconds("hs_intro_min_lifetime", 18*60*60), leastLifetime),
		MaxLifetime:  seconds("hs_intro_max_lifetime", 24*60*60),
		MinIntroduce: max(int(p.Get("hs_intro_min_introduce2", 16384, 0, 1<<31-1)), 1),
		MaxIntroduce: int(p.Get("hs_intro_max_introduce2", 32768, 0, 1<<31-1)),
		Extra:        int(p.Get("hs_intro_num_extra", 2, 0, 128)),
		Attempts:     int(p.Get("hs_service_max_rdv_failures", 2, 1, 10)) + 1,
	}
	out.MinLifetime = min(out.MinLifetime, mostLifetime)
	out.MaxLifetime = min(max(out.MaxLifetime, out.MinLifetime), mostLifetime)
	out.MinIntroduce = min(out.MinIntroduce, mostIntroduce)
	out.MaxIntroduce = min(max(out.MaxIntroduce, out.MinIntroduce), mostIntroduce)
	out.Extra = min(out.Extra, mostExtra)
	return out
}

// What no consensus moves: memory for replays and the number of circuits are ours.
const (
	leastLifetime = 5 * time.Minute
	mostLifetime  = 30 * 24 * time.Hour
	mostIntroduce = 1 << 18
	mostExtra     = 8
)
