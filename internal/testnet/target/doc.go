// Package target is the far end of a private network: what exits connect to.
//
// It is a small server on one loopback address:
//
//	HTTP     /bytes/N    N bytes of a fixed sequence (Fill, Sum)
//	         /delay/MS   "ok" after MS milliseconds
//	         /echo       the request's body, streamed back
//	         /upload     "<sha256 in hex> <length>\n" of the request's body
//	         /ip         the address and port the request came from
//	         /stats      counters, as JSON (Stats)
//	echo     sends back what comes in; after a half-close it sends the rest, then closes
//	discard  reads until the end and says nothing
//	chargen  sends the fixed sequence without end
//	DNS      UDP: an A record of this very address for every name under .test but
//	         nx.test, PTR for 127/8, "no such name" for the rest
//
// The sockets are opened apart from the server, so that they can be handed to
// another process: Listen, Sockets.Files, FromFiles, Serve.
package target
