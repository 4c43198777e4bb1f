// Package socks is the server side of SOCKS4, 4a and 5 as a pure machine: bytes in,
// reply bytes and at last one request out. It owns no socket, clock or
// goroutine; the caller reads, writes and applies time limits.
//
// Implemented: SOCKS4 and 4a, RFC 1928 (CONNECT by IPv4, IPv6 and name), RFC 1929
// (username/password, always accepted because they only isolate), Tor's
// socks-extensions (RESOLVE, RESOLVE_PTR, empty credentials, credentials after
// "no authentication"),
// proposal 304 (extended reply codes F0-F7) and proposal 351 (user names that
// begin with <torS0X>).
//
// Vocabulary: a message is one client message of the dialogue (greeting,
// credentials, request). A refusal is an answer that ends the dialogue.
//
//	           greeting                 credentials
//	start ──────────────────▶ auth ───────────────────▶ request ──────▶ done
//	  │  └─ "no authentication" ──────────────────────────▲  │ request
//	  │                        │                             │
//	  └────────────────────────┴───────────▶ refused ◀───────┘
//
// A SOCKS4 client says all in its first message: start ──▶ done or refused.
//
// Every decision is a function of the bytes seen so far, taken at the first
// byte that decides it, so how the bytes were cut into reads never matters.
//
// Left to others: whether an address may be reached (private ranges, ports),
// isolation, onion services, time limits, and, after a refusal, reading away
// what the client still sends so that the reply is not lost to a TCP reset.
//
// No error text in here contains a host name, an address or a credential.
package socks
