package httpconnect

import (
	"fmt"
)

// capabilities: what a request may carry, by name (proposal 365).
const capabilities = "Tor-Capabilities: Proxy-Authorization Tor-Family-Preference Tor-Stream-Isolation X-Tor-Stream-Isolation\r\n"

const (
	viaHeader    = "Via: tor/1.0 tor-network (chive)\r\n"
	serverHeader = "Server: tor/1.0 (chive)\r\n"
	plainText    = "Content-Type: text/plain; charset=utf-8\r\n"
)

// whatThisIs is for a person who reads it in a browser or a terminal.
const whatThisIs = "This port is an HTTP CONNECT tunnel and a SOCKS proxy, not an HTTP proxy.\n" +
	"\n" +
	"The program that sent this request is set to use it for plain HTTP. Enter the\n" +
	"same address and port as its SOCKS proxy, version 5, and let the proxy resolve\n" +
	"host names (curl: --socks5-hostname); or use https, for which programs ask an\n" +
	"HTTP proxy for a tunnel (curl: --proxytunnel).\n"

var phrases = map[int]string{
	200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}

func status(code int) string { return fmt.Sprintf("HTTP/1.0 %d %s\r\n", code, phrases[code]) }

// reply is what a refused request is answered; nil: nothing.
func (e *RefusalError) reply() []byte {
	switch e.Status {
	case 0:
		return nil
	case 200:
		return []byte(status(200) + "Allow: OPTIONS, CONNECT\r\n" + capabilities + serverHeader + "\r\n")
	case 405:
		return []byte(status(405) + "Allow: OPTIONS, CONNECT\r\n" + capabilities + serverHeader + plainText + "\r\n" + whatThisIs)
	default:
		return []byte(status(e.Status) + capabilities + viaHeader + plainText + "\r\n" + e.Err.Error() + "\n")
	}
}

// AppendConnected appends the answer that the tunnel is there; what follows it is
// the tunnel's.
func AppendConnected(dst []byte) []byte {
	return append(dst, status(200)+capabilities+viaHeader+"\r\n"...)
}

// AppendFailed appends the answer that it is not. code is an HTTP status; reason,
// a word of ours, goes into Tor-Request-Failed.
func AppendFailed(dst []byte, code int, reason string) []byte {
	return append(dst, status(code)+capabilities+viaHeader+"Tor-Request-Failed: chive/"+reason+"\r\n\r\n"...)
}
