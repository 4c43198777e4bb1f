package socks

// tlsAlert is a fatal unexpected_message alert (RFC 8446 §6), so that a client
// that was pointed here as at an HTTPS proxy fails at once.
const tlsAlert = "\x15\x03\x01\x00\x02\x02\x0a"

// foreign gives the answer to a dialogue whose first byte is neither 4 nor 5. It
// is decided on the first byte. HTTP is for the caller to tell apart.
func foreign(first byte) (reply string, err error) {
	if first == 0x16 { // TLS record type handshake
		return tlsAlert, ErrTLS
	}
	return "", ErrNotSOCKS
}
