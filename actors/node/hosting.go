package node

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/configuration"
	"chive/actors/hosting"
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
		var sharing *actor.PID
		if n.member != nil {
			sharing = self
		}
		dirs := &dirDialer{n: n, node: self}
		return hosting.Props(hosting.Options{
			Circuits: self, Publish: dirs.publish, Fetch: dirs.descriptor, Signals: &n.signals, VerifyPeriod: c.OnionVerifyPeriod,
			Recorder: n.recorder, Log: n.o.Log, Now: n.o.Now,
			Rand: newRand, AllowPrivate: c.ExtendAllowPrivateAddresses, Testing: c.TestingTorNetwork, Services: c.OnionServices,
			Sharing: sharing, Away: n.apart.Load(), Closed: n.shut.Load(), Program: &n.own,
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
	if err := makeParents(c); err != nil {
		return configuration.Step{}, err
	}
	for i := range c.New.OnionServices {
		s := &c.New.OnionServices[i]
		if !reads(&c, s) {
			continue
		}
		if err := checkService(s); err != nil && !(s.From == config.FromAdded && hosts(c.Old, s.Dir)) {
			return configuration.Step{}, err
		}
		if err := p.n.listensOn(s); err != nil {
			return configuration.Step{}, err
		}
	}
	tell := func(to *config.Config, keep bool) {
		p.n.system.Root.Send(p.n.root, &hosting.Configure{Services: to.OnionServices, VerifyPeriod: to.OnionVerifyPeriod, Keep: keep})
	}
	return configuration.Step{
		Commit: func() error { tell(c.New, !c.Reread); return nil },
		Undo:   func() { tell(c.Old, true) },
		Settle: func() { p.n.folders.note(c) },
	}, nil
}

// makeParents makes the folders around those of services that are added while the node
// runs. Of those in files only the last folder is made, as by C tor: what is missing above
// may be a disk that is not mounted.
func makeParents(c configuration.Change) error {
	for i := range c.New.OnionServices {
		s := &c.New.OnionServices[i]
		if hosts(c.Old, s.Dir) || s.From < config.FromOperator {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(s.Dir), 0o700); err != nil {
			return err // it names the folder
		}
	}
	return nil
}

// hosts: is the service of a folder among those of a configuration?
func hosts(c *config.Config, folder string) bool {
	return slices.ContainsFunc(c.OnionServices, func(o config.OnionService) bool { return o.Dir == folder })
}

// checkServices opens every service's folder, and makes those that are not there. A service
// that was added while the node ran before does not keep it from starting: it is tried
// again by itself, and can be taken out.
func (n *Node) checkServices(c *config.Config) error {
	for i := range c.OnionServices {
		s := &c.OnionServices[i]
		err := checkService(s)
		switch {
		case err == nil:
		case s.From == config.FromAdded:
			n.o.Log.Warn("an onion service that was added cannot be hosted", "err", err)
		default:
			return fmt.Errorf("HiddenServiceDir %w", err)
		}
	}
	return nil
}

// checkService opens a service's folder, and makes it if it is not there. The error begins
// with the folder.
func checkService(s *config.OnionService) error {
	store, err := keystore.OpenService(s.Dir, s.DirGroupReadable, crand.Reader)
	if err == nil && store.Key == nil && store.Delegation == nil {
		err = keystore.ErrNoKeys
	}
	if err == nil && s.OnionBalance {
		_, err = store.Masters()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Dir, err)
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
	services, err := n.hosted()
	if err != nil {
		return nil, err
	}
	if services == nil {
		services = []hosting.Status{}
	}
	return json.Marshal(HostingAnswer{Services: services})
}
