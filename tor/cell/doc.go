// Package cell encodes and decodes Tor cells: the units that travel on a
// connection (the TLS link to a relay) and the relay messages inside them.
//
// Vocabulary:
//
//   - A cell is either fixed (514 bytes: 4-byte circuit id, command, 509-byte
//     body) or variable (4-byte circuit id, command, 2-byte length, body).
//     Cells up to and including VERSIONS use 2-byte circuit ids ("narrow").
//   - A relay cell is a RELAY or RELAY_EARLY cell; its body, once decrypted,
//     is a relay message in one of two formats ([RelayFormat]): in V0 an 11-byte
//     header, up to 498 bytes of data, and padding.
//
// The layers, outermost first:
//
//	stream of bytes ── Next ──▶ (circuit, command, body)
//	body of CREATED2, NETINFO, CERTS, ...        ── Parse… ──▶ message
//	body of RELAY ── decrypt (relaycrypto) ── RelayFormat.Parse ──▶ header, data
//	data of CONNECTED, END, SENDME, EXTENDED2, … ── Parse… ──▶ message
//
// Functions that return slices of their input do not copy: the result is valid
// as long as the input is. The hot path (Next, PutHeader, RelayFormat's
// Put and Parse) allocates nothing. Functions named Append… append a body,
// without a cell header, unless their comment says otherwise, and panic only
// on arguments that no caller may pass.
//
// Specification: tor-spec sections 3 (cells), 4.1 to 4.5 (link handshake
// cells), 5.1 and 5.4 (circuits), 6.1 to 6.3 (relay cells, streams), 7.3
// (SENDME; proposal 289), and the relay cells of proposals 340 and 359. Left to others: who may send what when (tor/link,
// actors), certificates (tor/cert), encryption (tor/relaycrypto).
package cell
