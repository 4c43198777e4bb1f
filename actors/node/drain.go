package node

import (
	"context"
	"time"

	"chive/actors/hosting"
)

const (
	// drainLook is how often it is looked whether streams are left.
	drainLook = 50 * time.Millisecond
	// arriveTime is how long a stream's last bytes may be on their way when it has ended:
	// relays throw away what they have for a circuit that ends.
	arriveTime = 2 * time.Second
)

// Drain has the node take nothing new, and returns when what is open has ended: listeners are
// closed; other nodes do without this one in the onion services that they share; then nobody
// is met at introduction points any more; and streams end by themselves, those too that come
// of clients who were on their way. Nobody is waited for longer than limit, and then for other
// nodes, for as long as they may take. It returns what ctx says if that ends first. There is
// no way back; Stop follows.
func (n *Node) Drain(ctx context.Context, limit time.Duration) error {
	n.ends.Store(true)
	n.StopListening()
	began := time.Now()
	if err := n.await(ctx, n.LeaveShared(), leaveTime); err != nil {
		return err
	}
	late := time.NewTimer(limit - time.Since(began))
	defer late.Stop()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for met := n.finishHosting(); ; {
		select {
		case <-met:
			met = nil
		case <-look.C:
		case <-late.C:
			return nil
		case <-n.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if met == nil && n.status.idle(arriveTime) {
			return nil
		}
	}
}

// await waits until something is done, or for so long.
func (n *Node) await(ctx context.Context, done <-chan struct{}, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	case <-n.stopped:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// finishHosting ends the introduction points of all onion services. The channel is closed when
// the clients who came by them are met.
func (n *Node) finishHosting() <-chan struct{} {
	met := make(chan struct{})
	n.shut.Store(true)
	n.system.Root.Send(n.root, &hosting.Finish{Done: func() { close(met) }})
	return met
}
