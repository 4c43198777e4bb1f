package socks

import "errors"

// The causes of a refusal. All but ErrDone come wrapped in a *RefusalError.
var (
	ErrTLS            = errors.New("TLS handshake on a SOCKS port")
	ErrNotSOCKS       = errors.New("first byte is not a SOCKS version")
	ErrMethods        = errors.New("no acceptable authentication method offered")
	ErrCredentials    = errors.New("malformed username/password message")
	ErrExtendedFormat = errors.New("unknown <torS0X> user name format")
	ErrRequest        = errors.New("malformed request")
	ErrCommand        = errors.New("command not supported")
	ErrAddressType    = errors.New("address type not supported")
	ErrHost           = errors.New("not a valid host name or address")
	ErrReverse        = errors.New("RESOLVE_PTR is for addresses")
	ErrPort           = errors.New("port 0 cannot be connected to")
	ErrExit           = errors.New(".exit names are not supported")
	ErrOnionV2        = errors.New("version 2 onion addresses no longer exist")
	ErrOnionAddress   = errors.New("not a valid version 3 onion address")

	// ErrDone: Feed was called after the machine gave a request or a refusal.
	ErrDone = errors.New("socks: dialogue is over")
)

// RefusalError says that the dialogue is over and why. Err is one of the
// package's sentinel errors, Code the REP value sent (ReplyGeneralFailure where
// the client was answered in another protocol or before a request).
type RefusalError struct {
	Code ReplyCode
	Err  error
}

func (e *RefusalError) Error() string { return "socks: " + e.Err.Error() }

// Unwrap gives the sentinel.
func (e *RefusalError) Unwrap() error { return e.Err }
