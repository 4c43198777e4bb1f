package link

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"chive/tor/cell"
)

// Config is what a handshake is to achieve.
type Config struct {
	// Want is the identity that the relay must prove. Zero keys are not
	// asked for, but the relay proves both whatever is asked.
	Want Identity
	// TLSCertSHA256 is the SHA256 digest of the DER of the certificate that
	// the relay presented in the TLS handshake.
	TLSCertSHA256 [32]byte
	// Versions are the link protocol versions to offer; nil means 4 and 5.
	// Others are not supported and left out.
	Versions []uint16
	// PeerAddr is the address that was dialled, which the relay is told.
	PeerAddr netip.Addr
}

// Result is what a finished handshake found out. Only the identity is proven;
// the relay may say anything about time and addresses.
type Result struct {
	Version uint16 // link protocol version, 4 or 5
	RSA     [20]byte
	Ed25519 [32]byte
	// PeerTime is the relay's clock, to the second; zero if it told none.
	PeerTime time.Time
	// Skew is how far the relay's clock is ahead of ours: PeerTime minus the
	// time at which its NETINFO was fed. 0 if it told no time.
	Skew time.Duration
	// MyAddr is where the relay sees us; invalid if it does not say.
	MyAddr netip.Addr
	// PeerAddrs are the addresses the relay says it has.
	PeerAddrs []netip.Addr
}

// maxHandshakeBytes bounds what a relay may send before it is done: one cell
// of the largest size, and padding.
const maxHandshakeBytes = 4 * cell.MaxVariableLen

var supportedVersions = []uint16{4, 5}

type state uint8

const (
	awaitVersions state = iota
	awaitCerts
	awaitChallenge
	awaitNetinfo
	done
	failed
)

// Handshake is one handshake; see the package comment for its states. It is
// not safe for concurrent use.
type Handshake struct {
	config   Config
	versions []uint16 // offered
	state    state
	consumed int
	err      error
	result   Result
}

// New makes a handshake.
func New(c Config) *Handshake {
	versions := supportedVersions
	if c.Versions != nil {
		versions = slices.DeleteFunc(slices.Clone(c.Versions), func(v uint16) bool {
			return !slices.Contains(supportedVersions, v)
		})
	}
	return &Handshake{config: c, versions: versions}
}

// Start returns the bytes to send first: a VERSIONS cell.
func (h *Handshake) Start() []byte {
	return cell.AppendVersions(nil, h.versions...)
}

// Result is what the handshake found out; the zero Result before it is done.
func (h *Handshake) Result() Result {
	if h.state != done {
		return Result{}
	}
	return h.result
}

// Feed takes bytes received, beginning with those that the last call did not
// consume, and the time at which they came. It consumes n bytes, a number of
// whole cells; send is what to send now, if anything. Once done is true the
// handshake is over, what is left of buf is the first cells of the open
// connection, and Feed must not be called again. After an error the connection
// must be closed; Feed then only repeats the error.
func (h *Handshake) Feed(buf []byte, now time.Time) (n int, send []byte, finished bool, err error) {
	if h.state == failed || h.state == done {
		return 0, nil, h.state == done, h.err
	}
	for h.state != done {
		used, reply, err := h.step(buf[n:], now)
		if err != nil {
			h.state, h.err = failed, err
			return n, nil, false, err
		}
		if used == 0 {
			break
		}
		n += used
		send = append(send, reply...)
	}
	return n, send, h.state == done, nil
}

// step consumes one cell; used is 0 if there is no whole one.
func (h *Handshake) step(buf []byte, now time.Time) (used int, send []byte, err error) {
	next, commandAt := cell.Next, 4
	if h.state == awaitVersions {
		next, commandAt = cell.NextNarrow, 2
	}
	if len(buf) <= commandAt {
		return 0, nil, nil
	}
	// Before the whole cell is there, so that a peer which speaks something
	// else is found out at once, however its bytes are cut up.
	cmd := cell.Command(buf[commandAt])
	if cmd != cell.Vpadding && cmd != h.expected() {
		return 0, nil, fmt.Errorf("%w: %v in place of %v", ErrProtocol, cmd, h.expected())
	}
	circ, _, body, used, err := next(buf)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %v: %w", ErrProtocol, cmd, err)
	}
	if used == 0 {
		return 0, nil, nil
	}
	if h.consumed += used; h.consumed > maxHandshakeBytes {
		return 0, nil, fmt.Errorf("%w: handshake of over %d bytes", ErrProtocol, maxHandshakeBytes)
	}
	if circ != 0 {
		return 0, nil, fmt.Errorf("%w: %v on a circuit", ErrProtocol, cmd)
	}
	if cmd == cell.Vpadding {
		return used, nil, nil
	}
	send, err = h.receive(body, now)
	return used, send, err
}

// expected is the only command, besides VPADDING, that the state permits.
func (h *Handshake) expected() cell.Command {
	switch h.state {
	case awaitVersions:
		return cell.Versions
	case awaitCerts:
		return cell.Certs
	case awaitChallenge:
		return cell.AuthChallenge
	}
	return cell.Netinfo
}

// receive handles the body of the expected cell and moves to the next state.
func (h *Handshake) receive(body []byte, now time.Time) (send []byte, err error) {
	switch h.state {
	case awaitVersions:
		err = h.receiveVersions(body)
	case awaitCerts:
		err = h.receiveCerts(body, now)
	case awaitChallenge:
		// The methods do not matter: clients do not authenticate.
		if _, err = cell.ParseAuthChallenge(body); err != nil {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
	case awaitNetinfo:
		send, err = h.receiveNetinfo(body, now)
	}
	if err != nil {
		return nil, err
	}
	h.state++
	return send, nil
}

func (h *Handshake) receiveVersions(body []byte) error {
	theirs, err := cell.ParseVersions(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	for _, v := range h.versions {
		if slices.Contains(theirs, v) {
			h.result.Version = max(h.result.Version, v)
		}
	}
	if h.result.Version == 0 {
		return fmt.Errorf("%w: ours %v, theirs %v", ErrVersion, h.versions, theirs)
	}
	return nil
}

func (h *Handshake) receiveCerts(body []byte, now time.Time) error {
	got, err := VerifyCerts(body, h.config.TLSCertSHA256, now)
	if err != nil {
		return err
	}
	if !h.config.Want.accepts(got) {
		return &IdentityError{Want: h.config.Want, Got: got}
	}
	h.result.RSA, h.result.Ed25519 = got.RSA, got.Ed25519
	return nil
}

func (h *Handshake) receiveNetinfo(body []byte, now time.Time) (send []byte, err error) {
	info, err := cell.ParseNetinfo(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	h.result.MyAddr, h.result.PeerAddrs = info.OtherAddr, info.MyAddrs
	if info.Timestamp != 0 {
		h.result.PeerTime = time.Unix(int64(info.Timestamp), 0).UTC()
		h.result.Skew = h.result.PeerTime.Sub(now)
	}
	// No time and no addresses of ours: they would tell clients apart.
	reply := cell.AppendNetinfo(nil, cell.NetinfoBody{OtherAddr: h.config.PeerAddr})
	return cell.AppendFixed(nil, 0, cell.Netinfo, reply), nil
}
