package node

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/configuration"
	"chive/actors/hosting"
	"chive/actors/kernel"
	"chive/actors/keystore"
	"chive/config"
	"chive/messages/chivev1"
	"chive/tor/dirproto"
)

// hosting starts the actor that hosts onion services, anew if it runs.
func (r *rootActor) hosting(ctx actor.Context) {
	n, self := r.n, ctx.Self()
	r.add(ctx, "hosting", func() *actor.Props {
		c := n.Config()
		return hosting.Props(hosting.Options{
			Circuits: self, Publish: (&dirDialer{n: n, node: self}).publish, Recorder: n.recorder, Log: n.o.Log, Now: time.Now,
			Rand: newRand, AllowPrivate: c.ExtendAllowPrivateAddresses, Testing: c.TestingTorNetwork, Services: c.OnionServices, Program: &n.own,
		})
	})
}

// publish implements hosting.Publish.
func (d *dirDialer) publish(ctx context.Context, owner *actor.PID, token uint64, text []byte) (int, error) {
	q := &circuits.Carry{Owner: owner, Token: token}
	return carried(ctx, d, chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY, q, dirproto.AppendPublish(nil, text), dirproto.ReadPublished)
}

// hostingParts are the onion services that the node hosts: their folders are opened, and
// made, before they change.
type hostingParts struct{ n *Node }

func (*hostingParts) Name() string { return "HiddenServiceDir" }

func (p *hostingParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	if err := p.n.checkServices(c.New); err != nil {
		return configuration.Step{}, err
	}
	tell := func(c *config.Config) {
		p.n.system.Root.Send(p.n.root, &hosting.Configure{Services: c.OnionServices})
	}
	return configuration.Step{
		Commit: func() error { tell(c.New); return nil },
		Undo:   func() { tell(c.Old) },
	}, nil
}

// checkServices opens every service's folder, and makes those that are not there.
func (n *Node) checkServices(c *config.Config) error {
	for i := range c.OnionServices {
		s := &c.OnionServices[i]
		store, err := keystore.OpenService(s.Dir, s.DirGroupReadable, crand.Reader)
		if err == nil && store.Key == nil {
			err = errors.New("it holds no hs_ed25519_secret_key")
		}
		if err == nil && n.own.Has(store.Address) {
			err = errors.New("the program that runs this node listens on this service already")
		}
		if err != nil {
			return fmt.Errorf("HiddenServiceDir %s: %w", s.Dir, err)
		}
	}
	return nil
}

// HostingAnswer is the answer to the verb hosting. Only the operator of the node can ask:
// it has the services' addresses in it.
type HostingAnswer struct {
	Services []hosting.Status `json:"services"`
}

// answerHosting answers the verb hosting.
func (n *Node) answerHosting([]byte) ([]byte, error) {
	services, err := askRoot(n, func(reply kernel.Reply[[]hosting.Status]) any {
		return &hosting.List{Tell: func(all []hosting.Status) { reply.Send(all) }}
	})
	if err != nil {
		return nil, err
	}
	if services == nil {
		services = []hosting.Status{}
	}
	return json.Marshal(HostingAnswer{Services: services})
}
