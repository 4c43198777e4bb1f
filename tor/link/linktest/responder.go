package linktest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"chive/tor/cell"
)

// ErrHandshake: the initiator sent what a client does not send.
var ErrHandshake = errors.New("linktest: bad handshake from the initiator")

// Responder is a relay's side of one link handshake with a client: it waits
// for VERSIONS, answers with all of its cells at once, as C tor does, and is
// done when it has the client's NETINFO.
type Responder struct {
	Identity   *RelayIdentity
	TLSCertDER []byte       // leaf of the listener's certificate
	Versions   []uint16     // offered; nil means 3, 4, 5
	Mutations  Mutations    // how the CERTS cell is wrong
	ClientAddr netip.Addr   // where the relay sees the client
	Addrs      []netip.Addr // the relay's own addresses
	Random     io.Reader    // for the challenge

	version   uint16
	netinfo   cell.NetinfoBody
	finished  bool
	announced []uint16
}

// Version is the negotiated link protocol version, 0 before VERSIONS.
func (r *Responder) Version() uint16 { return r.version }

// ClientVersions are the versions the client offered.
func (r *Responder) ClientVersions() []uint16 { return r.announced }

// ClientNetinfo is the client's NETINFO once the handshake is done.
func (r *Responder) ClientNetinfo() cell.NetinfoBody { return r.netinfo }

// Feed is link.Handshake's Feed for the other side.
func (r *Responder) Feed(buf []byte, now time.Time) (n int, send []byte, done bool, err error) {
	if r.version == 0 {
		versions, used, err := cell.ParseVersionsCell(buf)
		if err != nil {
			return 0, nil, false, fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		if used == 0 {
			return 0, nil, false, nil
		}
		n = used
		if send, err = r.negotiate(versions, now); err != nil {
			return n, send, false, err
		}
	}
	for !r.finished {
		circ, cmd, body, used, err := cell.Next(buf[n:])
		if err != nil {
			return n, send, false, fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		if used == 0 {
			break
		}
		n += used
		if cmd == cell.Vpadding {
			continue
		}
		if circ != 0 || cmd != cell.Netinfo {
			return n, send, false, fmt.Errorf("%w: %v on circuit %v in place of NETINFO", ErrHandshake, cmd, circ)
		}
		if r.netinfo, err = cell.ParseNetinfo(body); err != nil {
			return n, send, false, fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		r.finished = true
	}
	return n, send, r.finished, nil
}

// negotiate picks the version and returns all of the relay's cells.
func (r *Responder) negotiate(theirs []uint16, now time.Time) ([]byte, error) {
	r.announced = theirs
	for _, v := range r.versions() {
		if v >= 4 && slices.Contains(theirs, v) {
			r.version = max(r.version, v)
		}
	}
	if r.version == 0 {
		// The client must learn that, too.
		return r.VersionsCell(), fmt.Errorf("%w: no version in common with %v", ErrHandshake, theirs)
	}
	challenge, err := r.AuthChallengeCell()
	if err != nil {
		return nil, err
	}
	return slices.Concat(r.VersionsCell(), r.CertsCell(now), challenge, r.NetinfoCell(now)), nil
}

func (r *Responder) versions() []uint16 {
	if r.Versions != nil {
		return r.Versions
	}
	return []uint16{3, 4, 5}
}

// VersionsCell is the relay's VERSIONS cell.
func (r *Responder) VersionsCell() []byte { return cell.AppendVersions(nil, r.versions()...) }

// CertsCell is the relay's CERTS cell, wrong as r.Mutations says.
func (r *Responder) CertsCell(now time.Time) []byte {
	return r.Identity.CertsCell(now, r.TLSCertDER, r.Mutations)
}

// AuthChallengeCell is an AUTH_CHALLENGE cell with C tor's methods.
func (r *Responder) AuthChallengeCell() ([]byte, error) {
	body := cell.AuthChallengeBody{Methods: []uint16{1, 3}}
	if _, err := io.ReadFull(r.Random, body.Challenge[:]); err != nil {
		return nil, fmt.Errorf("make challenge: %w", err)
	}
	return cell.AppendVariable(nil, 0, cell.AuthChallenge, cell.AppendAuthChallenge(nil, body)), nil
}

// NetinfoCell is the relay's NETINFO cell.
func (r *Responder) NetinfoCell(now time.Time) []byte {
	body := cell.NetinfoBody{Timestamp: uint32(now.Unix()), OtherAddr: r.ClientAddr, MyAddrs: r.Addrs}
	return cell.AppendFixed(nil, 0, cell.Netinfo, cell.AppendNetinfo(nil, body))
}
