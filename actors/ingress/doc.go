// Package ingress is the actor of one listener for applications: it accepts them,
// reads their requests and passes them, as stream.Spec, to package circuits. A
// SocksPort speaks SOCKS4, 4a and 5 and, which the first byte tells, HTTP CONNECT;
// an HTTPTunnelPort speaks HTTP CONNECT only.
//
//	opening ──► listening ── Close ──► closed
//	   └── cannot bind: fails (its supervisor tries again)
//
// What the configuration says about requests (Rules) may change at any time; each
// request follows the rules of its moment.
//
// The dialogue of each application runs in a goroutine of its own, with a
// deadline, until the request is complete; from then on the socket is the
// stream actor's. The isolation group of a stream is computed here, from what
// its listener's flags say must agree.
//
// A Program has no actor and no socket: it takes, as calls, what the program asks for that
// the node runs in.
//
// Messages it understands: Close.
package ingress
