package invariant

import (
	"slices"
	"time"

	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// layers are the layers of guards that the log tells of. A relay that left a layer stays in
// it here while the layer is used: a path that was chosen before may wait for its connection.
type layers struct {
	now, before path.Layers
	changed     time.Time // when before was over
	used        bool      // a circuit was launched by now
}

// onTheWay is how long after a layer came or went a path of the former shape may still be
// launched: it waited for its connection.
const onTheWay = time.Minute

func (l *layers) apply(e *chivev1.Envelope) {
	if v := e.GetVanguardAdded(); len(v.GetRelay()) == len(netdoc.Digest{}) {
		layer := l.layer(v.GetLayer())
		if *layer == nil {
			l.changes(e)
		}
		*layer = append(*layer, netdoc.Digest(v.GetRelay()))
	}
	if v := e.GetVanguardRemoved(); v.GetReason() == "off" {
		if layer := l.layer(v.GetLayer()); *layer != nil {
			l.changes(e)
			*layer = nil
		}
	}
}

func (l *layers) layer(n uint32) *[]netdoc.Digest {
	if n == 3 {
		return &l.now.Third
	}
	return &l.now.Second
}

// changes keeps the layers that circuits were launched by.
func (l *layers) changes(e *chivev1.Envelope) {
	if l.used {
		l.before = path.Layers{Second: slices.Clone(l.now.Second), Third: slices.Clone(l.now.Third)}
		l.changed, l.used = e.GetTime().AsTime(), false
	}
}

func (l *layers) check(e *chivev1.Envelope, p path.Purpose, ids []netdoc.Digest) error {
	err := p.Check(ids, ids[:1], l.now)
	if err == nil {
		l.used = l.used || p.Layered()
		return nil
	}
	if !l.changed.IsZero() && e.GetTime().AsTime().Sub(l.changed) < onTheWay && p.Check(ids, ids[:1], l.before) == nil {
		return nil
	}
	return err
}
