package relaydouble

import (
	"io"
	"net"

	"chive/tor/cell"
)

// Echo sends back what it receives.
func Echo(s *Stream) {
	_, _ = io.CopyBuffer(s, s, make([]byte, sourceChunk)) // a record's worth at a time
}

// Sink reads until the client ends the stream, and discards.
func Sink(s *Stream) { _, _ = io.Copy(io.Discard, s) }

// sourceChunk is a TLS record's worth of DATA cells.
const sourceChunk = cellsPerRecord * cell.MaxRelayData

// pattern is what Source sends, again and again. It is long beside a cell, so that few
// cells of a long write are not full, in either format.
var pattern = func() (p [251 << 10]byte) {
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}()

// Source sends n bytes, byte i being i mod 251, and ends the stream with DONE. A
// negative n never ends.
func Source(n int64) Handler {
	return func(s *Stream) {
		for sent := int64(0); n < 0 || sent < n; sent += int64(len(pattern)) {
			chunk := int64(len(pattern))
			if n >= 0 {
				chunk = min(chunk, n-sent)
			}
			if _, err := s.Write(pattern[:chunk]); err != nil {
				return
			}
		}
	}
}

// Refuse ends each stream with a reason before it is connected.
func Refuse(reason cell.EndReason) Handler {
	return func(s *Stream) { s.EndWith(reason) }
}

// Hold connects the stream and then says nothing until it is closed.
func Hold(s *Stream) { Sink(s) }

// Splice connects each stream to what dial returns, and refuses it with
// CONNECTREFUSED when dial fails.
func Splice(dial func(target string) (net.Conn, error)) Handler {
	return func(s *Stream) {
		conn, err := dial(s.Target())
		if err != nil {
			s.EndWith(cell.EndConnectRefused)
			return
		}
		s.Connect()
		done := make(chan struct{})
		s.circuit.conn.relay.spawn("splice", func() {
			defer close(done)
			_, _ = io.Copy(conn, s)
			_ = conn.Close()
		})
		_, _ = io.Copy(s, conn)
		s.EndWith(cell.EndDone)
		_ = conn.Close()
		<-done
	}
}
