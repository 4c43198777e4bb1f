package socks

// Answers to clients that speak something else. Each is decided on the first
// byte: no SOCKS version is an upper-case letter or 0x16.

// socks4Rejected is the SOCKS4 reply "request rejected or failed": VN 0, CD
// 0x5B, port and address 0.
const socks4Rejected = "\x00\x5b\x00\x00\x00\x00\x00\x00"

// tlsAlert is a fatal unexpected_message alert (RFC 8446 §6), so that a client
// that was pointed here as at an HTTPS proxy fails at once.
const tlsAlert = "\x15\x03\x01\x00\x02\x02\x0a"

// httpRefusal: status 501 as socks-extensions §4 asks, with the cause for a
// person who reads it in a browser or a terminal.
const httpRefusal = "HTTP/1.0 501 This is a SOCKS proxy, not an HTTP proxy\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"Connection: close\r\n" +
	"\r\n" +
	"This port speaks SOCKS5, not HTTP.\n" +
	"\n" +
	"The program that sent this request is set to use it as an HTTP proxy. Enter\n" +
	"the same address and port as its SOCKS proxy, version 5, and let the proxy\n" +
	"resolve host names (curl: --socks5-hostname).\n"

// foreign gives the answer to a dialogue whose first byte is not 5.
func foreign(first byte) (reply string, err error) {
	switch first {
	case 4:
		return socks4Rejected, ErrSOCKS4
	case 'C', 'D', 'G', 'H', 'O', 'P', 'T': // CONNECT DELETE GET HEAD OPTIONS POST PUT PATCH PRI TRACE
		return httpRefusal, ErrHTTP
	case 0x16: // TLS record type handshake
		return tlsAlert, ErrTLS
	default:
		return "", ErrNotSOCKS
	}
}
