package hosting

import (
	"context"
	"fmt"
	"io"

	"chive/actors/circuit"
	"chive/actors/stream"
)

// exporting is what a circuit whose client has a number asks of his streams.
func (r *rules) exporting(number uint32) circuit.Serve {
	return func(port uint16, open int) circuit.Served {
		served := r.serve(port, open)
		if dial := served.Dial; dial != nil && r.now.Load().ExportCircuitID {
			served.Dial = func(ctx context.Context) (stream.Conn, error) {
				return introduced(ctx, dial, number, port)
			}
		}
		return served
	}
}

// introduced dials, and says first whose stream it is.
func introduced(ctx context.Context, dial stream.Dial, number uint32, port uint16) (stream.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	// A new socket has room for it, so that this does not wait.
	if _, err := io.WriteString(conn, proxyLine(number, port)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// proxyLine is the header of version 1 of HAProxy's PROXY protocol as C tor fills it in
// (HiddenServiceExportCircuitID): the client's number is the end of the source address.
func proxyLine(number uint32, port uint16) string {
	return fmt.Sprintf("PROXY TCP6 fc00:dead:beef:4dad::%x:%x ::1 %d %d\r\n", number>>16, number&0xffff, number&0xffff, port)
}

// number gives the next client of this node a number, which goes with his circuit.
func (h *hosting) number() uint32 {
	if n := h.clients.Add(1); n != 0 {
		return n
	}
	return h.clients.Add(1)
}
