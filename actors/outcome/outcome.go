// Package outcome maps the errors of the protocol core and of the operating
// system to the closed list of outcomes, and those to SOCKS replies. It is the
// one place where such a mapping is made.
package outcome

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"

	"chive/internal/safego"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/circuit"
	"chive/tor/handshake"
	"chive/tor/link"
	"chive/tor/onion/client"
	"chive/tor/path"
	"chive/tor/socks"
	"chive/tor/upstream"
)

// FromDial names why an outgoing connection failed.
func FromDial(err error) chivev1.Outcome {
	var (
		p         *safego.Panic
		alert     tls.AlertError
		recordErr tls.RecordHeaderError
		netErr    net.Error
	)
	switch {
	case err == nil:
		return chivev1.Outcome_OUTCOME_OK
	case errors.As(err, &p):
		return chivev1.Outcome_OUTCOME_INTERNAL
	case errors.Is(err, context.Canceled):
		return chivev1.Outcome_OUTCOME_CANCELLED
	case ofMachine(err):
		return chivev1.Outcome_OUTCOME_MACHINE_FAILED
	case errors.Is(err, upstream.ErrProxy):
		return chivev1.Outcome_OUTCOME_PROXY_FAILED
	case errors.Is(err, upstream.ErrRefused), errors.Is(err, upstream.ErrSilent):
		return chivev1.Outcome_OUTCOME_PROXY_REFUSED
	case errors.Is(err, link.ErrIdentity):
		return chivev1.Outcome_OUTCOME_RELAY_IDENTITY
	case errors.Is(err, link.ErrExpired):
		return chivev1.Outcome_OUTCOME_CERT_EXPIRED
	case errors.Is(err, link.ErrProtocol), errors.Is(err, link.ErrCert):
		return chivev1.Outcome_OUTCOME_LINK_PROTOCOL
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return chivev1.Outcome_OUTCOME_TIMEOUT
	case errors.Is(err, syscall.ECONNREFUSED):
		return chivev1.Outcome_OUTCOME_CONNECT_REFUSED
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE
	case errors.As(err, &alert), errors.As(err, &recordErr):
		return chivev1.Outcome_OUTCOME_TLS_FAILED
	case errors.As(err, &netErr) && netErr.Timeout():
		return chivev1.Outcome_OUTCOME_TIMEOUT
	default:
		return chivev1.Outcome_OUTCOME_CONNECTION_LOST
	}
}

// ofMachine: did this machine not let the connection be made, wherever it was to? It has no
// descriptors, buffers or memory left, or the socket could not be bound to the address that
// is set. Other errors that arise here may be of one destination alone: of relays over IPv6
// where there is none (EADDRNOTAVAIL of connect), or that a filter forbids, be it here (EPERM)
// or at a router, whose refusal over IPv6 is EACCES, too. A guard that is out of reach for
// such a reason has to give way to another.
func ofMachine(err error) bool {
	for _, cause := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return OfBind(err)
}

// OfBind: could the socket not be bound to the address that connections are to be made from?
func OfBind(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind"
}

// FromCircuit names why a circuit ended.
func FromCircuit(err error) chivev1.Outcome {
	switch {
	case err == nil:
		return chivev1.Outcome_OUTCOME_OK
	case errors.Is(err, handshake.ErrAuth), errors.Is(err, handshake.ErrLowOrder):
		return chivev1.Outcome_OUTCOME_HANDSHAKE_AUTH
	case errors.Is(err, circuit.ErrDestroyed), errors.Is(err, circuit.ErrTruncated):
		return chivev1.Outcome_OUTCOME_DESTROYED
	case errors.Is(err, path.ErrNoPath):
		return chivev1.Outcome_OUTCOME_NO_PATH
	default:
		var e *circuit.Error
		if errors.As(err, &e) && e.Reason == cell.DestroyInternal {
			return chivev1.Outcome_OUTCOME_INTERNAL
		}
		return chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL
	}
}

// FromEnd names why the far end ended a stream that was (or was not yet)
// connected. Reason 0, MISC and unknown ones are never a success.
func FromEnd(reason cell.EndReason, connected bool) chivev1.Outcome {
	switch reason {
	case cell.EndDone:
		if connected {
			return chivev1.Outcome_OUTCOME_OK
		}
		return chivev1.Outcome_OUTCOME_TARGET_REFUSED
	case cell.EndResolveFailed:
		return chivev1.Outcome_OUTCOME_RESOLVE_FAILED
	case cell.EndConnectRefused:
		return chivev1.Outcome_OUTCOME_TARGET_REFUSED
	case cell.EndExitPolicy, cell.EndNotDirectory:
		return chivev1.Outcome_OUTCOME_EXIT_POLICY
	case cell.EndDestroy:
		return chivev1.Outcome_OUTCOME_DESTROYED
	case cell.EndTimeout:
		return chivev1.Outcome_OUTCOME_TIMEOUT
	case cell.EndNoRoute:
		return chivev1.Outcome_OUTCOME_TARGET_UNREACHABLE
	case cell.EndHibernating, cell.EndResourceLimit, cell.EndInternal:
		return chivev1.Outcome_OUTCOME_RELAY_RESOURCE
	case cell.EndTorProtocol:
		return chivev1.Outcome_OUTCOME_STREAM_PROTOCOL
	default:
		return chivev1.Outcome_OUTCOME_STREAM_RESET
	}
}

// Reply is the SOCKS5 reply for a request that ended before it was connected.
func Reply(o chivev1.Outcome) socks.ReplyCode {
	switch o {
	case chivev1.Outcome_OUTCOME_OK:
		return socks.ReplySucceeded
	case chivev1.Outcome_OUTCOME_EXIT_POLICY, chivev1.Outcome_OUTCOME_REFUSED:
		return socks.ReplyNotAllowed
	case chivev1.Outcome_OUTCOME_RESOLVE_FAILED:
		return socks.ReplyHostUnreachable
	case chivev1.Outcome_OUTCOME_TARGET_UNREACHABLE, chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE,
		chivev1.Outcome_OUTCOME_NO_DIRECTORY, chivev1.Outcome_OUTCOME_NO_PATH,
		chivev1.Outcome_OUTCOME_PROXY_FAILED, chivev1.Outcome_OUTCOME_PROXY_REFUSED, chivev1.Outcome_OUTCOME_PROTOCOLS_MISSING:
		return socks.ReplyNetworkUnreachable
	case chivev1.Outcome_OUTCOME_TARGET_REFUSED, chivev1.Outcome_OUTCOME_STREAM_RESET:
		return socks.ReplyConnectionRefused
	case chivev1.Outcome_OUTCOME_TIMEOUT:
		return socks.ReplyTTLExpired
	case chivev1.Outcome_OUTCOME_ONION_NOT_FOUND:
		return socks.ReplyOnionDescriptorNotFound
	case chivev1.Outcome_OUTCOME_ONION_INVALID:
		return socks.ReplyOnionDescriptorInvalid
	case chivev1.Outcome_OUTCOME_ONION_INTRODUCTION:
		return socks.ReplyOnionIntroFailed
	case chivev1.Outcome_OUTCOME_ONION_RENDEZVOUS:
		return socks.ReplyOnionRendezvousFailed
	case chivev1.Outcome_OUTCOME_ONION_AUTH_MISSING:
		return socks.ReplyOnionAuthMissing
	case chivev1.Outcome_OUTCOME_ONION_AUTH_WRONG:
		return socks.ReplyOnionAuthWrong
	case chivev1.Outcome_OUTCOME_ONION_ADDRESS:
		return socks.ReplyOnionBadAddress
	case chivev1.Outcome_OUTCOME_ONION_TIMEOUT:
		return socks.ReplyOnionIntroTimedOut
	default:
		return socks.ReplyGeneralFailure
	}
}

// HTTPStatus is the status for a CONNECT that ended before it was connected, as
// C tor gives it for the same cause.
func HTTPStatus(o chivev1.Outcome) int {
	switch o {
	case chivev1.Outcome_OUTCOME_EXIT_POLICY, chivev1.Outcome_OUTCOME_REFUSED, chivev1.Outcome_OUTCOME_TARGET_REFUSED,
		chivev1.Outcome_OUTCOME_STREAM_RESET:
		return 403
	case chivev1.Outcome_OUTCOME_RESOLVE_FAILED, chivev1.Outcome_OUTCOME_TARGET_UNREACHABLE,
		chivev1.Outcome_OUTCOME_ONION_NOT_FOUND, chivev1.Outcome_OUTCOME_ONION_INVALID, chivev1.Outcome_OUTCOME_ONION_ADDRESS:
		return 404
	case chivev1.Outcome_OUTCOME_TIMEOUT, chivev1.Outcome_OUTCOME_ONION_TIMEOUT:
		return 504
	case chivev1.Outcome_OUTCOME_OVERLOADED, chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_NO_DIRECTORY,
		chivev1.Outcome_OUTCOME_NO_PATH, chivev1.Outcome_OUTCOME_CONNECT_UNREACHABLE, chivev1.Outcome_OUTCOME_BACKOFF,
		chivev1.Outcome_OUTCOME_QUARANTINED, chivev1.Outcome_OUTCOME_PROXY_FAILED, chivev1.Outcome_OUTCOME_PROXY_REFUSED,
		chivev1.Outcome_OUTCOME_PROTOCOLS_MISSING, chivev1.Outcome_OUTCOME_MACHINE_FAILED:
		return 503
	case chivev1.Outcome_OUTCOME_INTERNAL:
		return 500
	default:
		return 502
	}
}

// FromOnion names why an onion service could not be reached.
func FromOnion(c client.Cause) chivev1.Outcome {
	switch c {
	case client.NotFound:
		return chivev1.Outcome_OUTCOME_ONION_NOT_FOUND
	case client.Invalid:
		return chivev1.Outcome_OUTCOME_ONION_INVALID
	case client.IntroFailed:
		return chivev1.Outcome_OUTCOME_ONION_INTRODUCTION
	case client.RendezvousFailed:
		return chivev1.Outcome_OUTCOME_ONION_RENDEZVOUS
	case client.AuthMissing:
		return chivev1.Outcome_OUTCOME_ONION_AUTH_MISSING
	case client.AuthWrong:
		return chivev1.Outcome_OUTCOME_ONION_AUTH_WRONG
	case client.IntroTimedOut:
		return chivev1.Outcome_OUTCOME_ONION_TIMEOUT
	default:
		return chivev1.Outcome_OUTCOME_INTERNAL
	}
}
