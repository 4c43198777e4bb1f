package rawio

// Peer is what the other end of a socket has done, as far as it can be told without reading.
type Peer uint8

// What it has done.
const (
	Open    Peer = iota // nothing of what follows
	Silent              // it sends no more, and all that it sent was read
	SaidAll             // it sends no more, and something of it is still to be read
	Gone                // it closed both ways, or reset the connection
)
