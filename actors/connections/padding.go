package connections

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/connection"
	padding "chive/tor/padding/link"
)

// padding is how connections are padded now.
func (c *connections) padding() padding.Policy {
	return padding.Policy{Mode: c.o.Settings.Padding, Reduced: c.o.Settings.ReducedPadding, Params: c.network.Padding}
}

// know takes over what the consensus says.
func (c *connections) know(ctx actor.Context, m *Network) {
	favour := m.HalfLife != c.network.HalfLife
	c.network = *m
	c.pad(ctx)
	if !favour {
		return
	}
	for _, x := range c.conns {
		ctx.Send(x.pid, &connection.Favour{HalfLife: m.HalfLife})
	}
}

// pad tells every connection of a change.
func (c *connections) pad(ctx actor.Context) {
	for _, x := range c.conns {
		ctx.Send(x.pid, &connection.Pad{Policy: c.padding()})
	}
}

func (c *connections) drawIdle() time.Duration {
	return idleLimit + time.Duration(c.o.Rand.Int64N(int64(idleLimit/2)))
}

// keep is how long a connection is kept without circuits.
func (c *connections) keep(x *conn) time.Duration {
	if c.o.Settings.ReducedPadding {
		return x.idle / 2
	}
	return x.idle
}
