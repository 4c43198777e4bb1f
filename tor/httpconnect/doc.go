// Package httpconnect is the server side of an HTTP CONNECT tunnel as a pure
// machine: bytes in, reply bytes and at last one request out, in the manner of
// package socks.
//
// Implemented: CONNECT (RFC 9110 §9.3.6) with Tor's headers (proposal 365):
// Tor-Stream-Isolation, X-Tor-Stream-Isolation and Proxy-Authorization isolate,
// Tor-Family-Preference says which addresses an exit may use; answers carry
// Tor-Capabilities and Tor-Request-Failed. OPTIONS tells the capabilities. Whom
// Proxy-Authorization names is told as for SOCKS, by user name and password.
//
// A web page must not find out that this port is here. What a browser may send
// on a page's behalf (any method but CONNECT, in origin form, for a host that is not this one,
// as after DNS rebinding; an Origin; Sec-Fetch-Site other than none) is closed
// without a word. Other methods are told what this is, at status 405, and so is a
// request in absolute form, which only a program that is set to use this port as its
// proxy sends.
//
//	head ──▶ done      a CONNECT
//	  └────▶ refused   anything else; OPTIONS is answered that way, too
//
// Nothing is judged before the head is whole, so how the bytes were cut into
// reads never matters. No error text in here contains a header or a target.
package httpconnect
