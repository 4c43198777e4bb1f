package node

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/configuration"
	"chive/actors/keystore"
	"chive/actors/onions"
	"chive/config"
	"chive/messages/chivev1"
	"chive/tor/dirproto"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
)

// onionKeys are the keys for onion services, by service.
type onionKeys map[onion.Address][32]byte

// onions starts the actor that reaches onion services.
func (r *rootActor) onions(ctx actor.Context) {
	n, self := r.n, ctx.Self()
	r.add(ctx, "onions", func() *actor.Props {
		return onions.Props(onions.Options{
			Circuits: self, Fetch: (&dirDialer{n: n, node: self}).descriptor, Recorder: n.recorder, Now: n.o.Now, Rand: newRand,
			Settings: n.onionSettings(n.Config()),
		})
	})
}

func (n *Node) onionSettings(c *config.Config) onions.Settings {
	s := onions.Settings{AllowPrivate: c.ExtendAllowPrivateAddresses, Testing: c.TestingTorNetwork}
	if keys := n.onionKeys.Load(); keys != nil {
		s.Keys = *keys
	}
	return s
}

// onion passes on what the circuits and the actor of onion services have for each other.
func (r *rootActor) onion(ctx actor.Context, message any) {
	part := "circuits"
	switch message.(type) {
	case *circuits.Meet, *circuits.NoMeet, *onions.Configure:
		part = "onions"
	}
	if r.pass(ctx, part, message) {
		return
	}
	switch m := message.(type) { // the part is being started anew
	case *circuits.Open:
		ctx.Send(m.Owner, &circuits.Over{Token: m.Token, Outcome: chivev1.Outcome_OUTCOME_BACKOFF})
	case *circuits.Carry:
		circuits.Refuse(m.Spec, r.n.recorder, chivev1.Outcome_OUTCOME_BACKOFF)
	case *circuits.Meet:
		r.pass(ctx, "circuits", &circuits.NotMet{Meeting: m.Meeting, Outcome: chivev1.Outcome_OUTCOME_BACKOFF})
	}
}

// spawnedOnion: of the two parts one is new, and knows nothing of what it had with the
// other.
func (r *rootActor) spawnedOnion(ctx actor.Context, name string, pid *actor.PID) {
	switch name {
	case "circuits":
		if r.parts.PID("onions") != nil {
			r.onions(ctx) // its circuits are gone
		}
		if r.parts.PID("hosting") != nil {
			r.hosting(ctx) // likewise
		}
	case "sharing":
		for _, m := range r.shares {
			ctx.Send(pid, m)
		}
	case "onions":
		r.pass(ctx, "circuits", &circuits.OnionsGone{})
		fallthrough
	case "hosting":
		if r.netdir != nil {
			if n := forOnions(r.netdir); n != nil {
				ctx.Send(pid, n)
			}
		}
	}
}

// forOnions is what a view of the network says to the actors of onion services; nil: too
// little is known to tell which directories keep what.
func forOnions(m *circuits.Netdir) *circuits.OnionNetwork {
	if !m.Enough || m.Unusable || m.Consensus == nil {
		return nil
	}
	return circuits.NewOnionNetwork(m.Consensus, m.Index)
}

// descriptorLimits bound a directory's answer with a descriptor.
var descriptorLimits = dirproto.Limits{Header: 16 << 10, Body: 2 * descriptor.MaxSize, Ratio: 50}

// descriptor implements onions.Fetch.
func (d *dirDialer) descriptor(ctx context.Context, owner *actor.PID, token uint64, blinded onion.BlindedKey, directory netip.AddrPort) ([]byte, error) {
	q := &circuits.Carry{Owner: owner, Token: token}
	request := dirproto.OnionDescriptorRequest(blinded, directory).Append(nil)
	res, err := carried(ctx, d, chivev1.Purpose_PURPOSE_ONION_DIRECTORY, q, request, func(r io.Reader) (*dirproto.Response, error) {
		return dirproto.ReadResponse(io.LimitReader(r, descriptorLimits.Header+descriptorLimits.Body), descriptorLimits)
	})
	switch {
	case err != nil:
		return nil, err
	case res.Status == 404:
		return nil, onions.ErrNone
	case res.Status != 200:
		return nil, fmt.Errorf("ask for a descriptor: status %d", res.Status)
	}
	return res.Body, nil
}

// onionParts are the keys for onion services: they are read before they change.
type onionParts struct{ n *Node }

func (*onionParts) Name() string { return "ClientOnionAuthDir" }

func (p *onionParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	keys, err := p.n.readOnionKeys(c.New, false)
	if err != nil {
		return configuration.Step{}, err
	}
	before := p.n.onionKeys.Load()
	return configuration.Step{
		Commit: func() error { p.n.useOnionKeys(&keys, c.New); return nil },
		Undo:   func() { p.n.useOnionKeys(before, c.Old) },
	}, nil
}

func (n *Node) useOnionKeys(keys *onionKeys, c *config.Config) {
	n.onionKeys.Store(keys)
	n.vanguards.configure(vanguardSettingsOf(c))
	n.system.Root.Send(n.root, &onions.Configure{Settings: n.onionSettings(c)})
}

// readOnionKeys reads them. tell: the log says which files hold none.
func (n *Node) readOnionKeys(c *config.Config, tell bool) (onionKeys, error) {
	if c.ClientOnionAuthDir == "" {
		return nil, nil
	}
	keys, skipped, err := keystore.ClientAuths(c.ClientOnionAuthDir)
	if err != nil {
		return nil, fmt.Errorf("ClientOnionAuthDir: %w", err)
	}
	if tell {
		keystore.WarnOf(n.o.Log, "ClientOnionAuthDir: a file holds no key and is passed over", c.ClientOnionAuthDir, skipped)
	}
	return keys, nil
}
