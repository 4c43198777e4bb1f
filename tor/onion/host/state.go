package host

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
)

// Floor is the last revision of a period's descriptor. None that is not above it
// is ever made.
type Floor struct {
	Period   onion.Period
	Revision uint64
}

// maxFloors is how many periods' floors are of use: those before, now and next.
const maxFloors = 4

// Floors are the floors of the latest periods, the oldest first.
type Floors []Floor

// Raise puts one floor in force.
func (f *Floors) Raise(n Floor) {
	i := slices.IndexFunc(*f, func(o Floor) bool { return o.Period == n.Period })
	if i >= 0 {
		(*f)[i].Revision = max((*f)[i].Revision, n.Revision)
		return
	}
	*f = append(*f, n)
	// By when they begin: a network's periods may have been of another length before.
	slices.SortStableFunc(*f, func(a, b Floor) int {
		return cmp.Compare(a.Period.Number*a.Period.Minutes, b.Period.Number*b.Period.Minutes)
	})
	if len(*f) > maxFloors {
		*f = slices.Delete(*f, 0, len(*f)-maxFloors)
	}
}

func (f Floors) of(p onion.Period) uint64 {
	for _, o := range f {
		if o.Period == p {
			return o.Revision
		}
	}
	return 0
}

const (
	stateVersion = 1
	// MaxState bounds the form on disk, in bytes.
	MaxState = 8 << 20
	// maxKeptTags: a point with more requests than that gets no second life.
	maxKeptTags = 8192
)

// ErrState means that a stored state cannot be used.
var ErrState = errors.New("onion service state")

type document struct {
	Version int         `json:"version"`
	Points  []keptPoint `json:"points"`
	// Who may know the points.
	Restricted bool     `json:"restricted,omitzero"`
	Clients    [][]byte `json:"clients,omitempty"`
}

// access is what Config said of clients.
func (d *document) access() Config {
	c := Config{Restricted: d.Restricted}
	for _, k := range d.Clients {
		if len(k) == 32 {
			c.Clients = append(c.Clients, [32]byte(k))
		}
	}
	return c
}

// keptPoint is an introduction point on disk.
type keptPoint struct {
	Relay   netdoc.Digest `json:"relay"`
	Auth    []byte        `json:"auth"` // seed
	Enc     []byte        `json:"enc"`  // private key
	Expires time.Time     `json:"expires"`
	Max     int           `json:"max"`
	Seen    []byte        `json:"seen"` // tags
}

// State is what makes the service's introduction points usable again after a
// restart, for clients who know them: their keys, and the requests they have seen.
// It is a secret, and is to be deleted when it is read, for a second start from it
// would answer requests again.
func (s *Service) State() ([]byte, error) {
	d := document{Version: stateVersion, Restricted: s.config.Restricted}
	for _, k := range s.config.Clients {
		d.Clients = append(d.Clients, slices.Clone(k[:]))
	}
	for _, p := range s.points {
		if p.retired || p.since.IsZero() || len(p.seen) > maxKeptTags {
			continue
		}
		k := keptPoint{Relay: p.relay.Identity, Auth: p.auth.Seed(), Enc: p.enc[:], Expires: p.expires, Max: p.max}
		for t := range p.seen {
			k.Seen = append(k.Seen, t[:]...)
		}
		d.Points = append(d.Points, k)
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return b, nil
}

// Restore takes a state up, before the first view. What has expired is left out, and
// everything if a client lost access since.
// Error: ErrState, and then nothing of it is used.
func (s *Service) Restore(b []byte, now time.Time) error {
	if len(b) > MaxState {
		return fmt.Errorf("%w: %d bytes", ErrState, len(b))
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if d.Version != stateVersion || len(d.Points) > descriptor.MaxIntroPoints || len(s.points) > 0 {
		return fmt.Errorf("%w: version %d, %d introduction points", ErrState, d.Version, len(d.Points))
	}
	if before := d.access(); s.config.revokes(&before) {
		return nil
	}
	var points []*point
	for _, k := range d.Points {
		if len(k.Auth) != ed25519.SeedSize || len(k.Enc) != 32 || len(k.Seen)%len(tag{}) != 0 || k.Max < 1 ||
			k.Max > mostIntroduce || k.Relay.IsZero() || k.Expires.After(now.Add(mostLifetime)) ||
			slices.ContainsFunc(points, func(p *point) bool { return p.relay.Identity == k.Relay }) {
			return fmt.Errorf("%w: impossible introduction point", ErrState)
		}
		p := &point{
			relay: Relay{Identity: k.Relay}, auth: ed25519.NewKeyFromSeed(k.Auth), enc: [32]byte(k.Enc),
			expires: k.Expires, max: k.Max, seen: make(map[tag]struct{}), kept: true,
		}
		for seen := range slices.Chunk(k.Seen, len(tag{})) {
			p.seen[tag(seen)] = struct{}{}
		}
		if err := p.prepare(); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		if now.Before(p.expires) && len(p.seen) < p.max {
			points = append(points, p)
		}
	}
	for _, p := range points {
		s.nextID++
		p.id = PointID(s.nextID)
	}
	s.points = points
	return nil
}
