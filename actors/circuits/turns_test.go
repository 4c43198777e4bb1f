package circuits

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuit"
	"chive/actors/kernel"
	"chive/messages/chivev1"
	"chive/tor/path"
)

const (
	upload   = chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY
	ourPoint = chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION
	toClient = chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS
	lookUp   = chivev1.Purpose_PURPOSE_ONION_DIRECTORY
)

// inProgress lists the circuits of a purpose that are being built.
func (d *desk) inProgress(p chivev1.Purpose) (all []*record) {
	for _, r := range d.records {
		if r.purpose == p && !r.open && !r.closing {
			all = append(all, r)
		}
	}
	return all
}

// With hundreds of uploads waiting, whom somebody waits for is served next; and uploads go on
// however many of those there are.
func TestClientsBeforeUploads(t *testing.T) {
	t.Parallel()
	for _, purpose := range []chivev1.Purpose{lookUp, introduction, rendezvous, toClient} {
		atStems(t, func(d *desk, _ *shifting) {
			d.o.Settings.Prebuild, d.o.Settings.MaxPending = false, 8
			token := uint64(0)
			ask := func(p chivev1.Purpose) {
				token++
				m := &Open{Owner: d.quiet, Token: token, Purpose: p, Target: target(20)}
				if p == rendezvous {
					m.Target = nil
				}
				d.openFor(d.ctx, m)
			}
			for range 400 {
				ask(upload)
			}
			if n := len(d.inProgress(upload)); n == 0 || n > 6 {
				t.Fatalf("%d uploads are begun at once, want no more than three quarters of 8", n)
			}
			if ask(purpose); len(d.inProgress(purpose)) != 1 {
				t.Fatalf("%v waits for uploads", purpose)
			}
			// From now on somebody waits at all times.
			served, uploads := 0, 0
			for range 20 {
				for len(d.opens) < 410 {
					ask(purpose)
				}
				clients, others := d.inProgress(purpose), d.inProgress(upload)
				served, uploads = served+len(clients), uploads+len(others)
				for _, r := range append(clients, others...) {
					d.isOpen(r)
				}
			}
			if uploads < (served+uploads)/(mostAhead+1) || served < uploads*2/3 {
				t.Errorf("%v: %d served, %d uploads meanwhile", purpose, served, uploads)
			}
		})
	}
}

// What services want at their leisure never fills the queue.
func TestUploadsLeaveRoom(t *testing.T) {
	t.Parallel()
	atDesk(t, 0, func(d *desk) {
		d.dir.Enough = false
		for i := range 2 * maxOpens {
			d.openFor(d.ctx, &Open{Owner: d.quiet, Token: uint64(i), Purpose: upload, Target: target(20)})
		}
		if len(d.opens) != mostLeisurely {
			t.Errorf("%d wait, want %d", len(d.opens), mostLeisurely)
		}
		d.opens = d.opens[:0]
		for i := range 2 * maxOpens {
			d.openFor(d.ctx, &Open{Owner: d.quiet, Token: uint64(i), Purpose: chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS, Target: target(20)})
		}
		if len(d.opens) != mostVisitors {
			t.Errorf("%d visitors wait, want %d", len(d.opens), mostVisitors)
		}
		for i := range 2 * maxOpens {
			d.openFor(d.ctx, &Open{Owner: d.quiet, Token: uint64(i), Purpose: introduction, Target: target(20)})
		}
		if len(d.opens) != maxOpens {
			t.Errorf("%d wait, want %d", len(d.opens), maxOpens)
		}
	})
}

// Who asked hears when his circuit begins to be built, and not before; and that it is to be
// built anew, for the layers are others.
func TestBuildingIsTold(t *testing.T) {
	t.Parallel()
	for _, purpose := range []chivev1.Purpose{upload, ourPoint, chivev1.Purpose_PURPOSE_HOSTING_RENDEZVOUS} {
		atStems(t, func(d *desk, s *shifting) {
			d.o.Settings.Prebuild, d.o.Settings.MaxPending = false, 1
			heard := make(chan Building, 16)
			owner := d.ctx.ActorSystem().Root.Spawn(kernel.Func(func(ctx actor.Context) {
				if m, ok := ctx.Message().(*Building); ok {
					heard <- *m
				}
			}))
			for i := range 2 {
				d.openFor(d.ctx, &Open{Owner: owner, Token: uint64(i + 1), Purpose: purpose, Target: target(20)})
			}
			if m := <-heard; m != (Building{Token: 1}) || len(heard) != 0 {
				t.Errorf("%v: %+v, %d more", purpose, m, len(heard))
			}
			first := d.inProgress(purpose)[0]
			s.layers = path.Layers{Second: s.layers.Second, Naming: 7}
			d.layers(d.ctx)
			if m := <-heard; m != (Building{Token: 1, Waits: true}) {
				t.Errorf("%v: %+v when it is to be another", purpose, m)
			}
			d.gone(d.ctx, &circuit.Gone{ID: first.id, Outcome: chivev1.Outcome_OUTCOME_REPLACED})
			if m := <-heard; m != (Building{Token: 2}) { // that one asked before
				t.Errorf("%v: %+v", purpose, m)
			}
		})
	}
}
