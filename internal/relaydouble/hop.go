package relaydouble

import (
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"

	"chive/tor/cell"
	"chive/tor/link/linktest"
)

// Hop is one virtual relay: an identity, an onion key and an OR port.
type Hop struct {
	relay       *Relay
	index       int
	identity    *linktest.RelayIdentity
	onionSecret [32]byte
	onionKey    [32]byte
	signing     []byte // certificate of type 4; nil: made when needed
	listener    net.Listener
	tlsConfig   *tls.Config
}

func newHop(r *Relay, index int) (*Hop, error) {
	h := &Hop{relay: r, index: index}
	listen := listenAddr(index)
	var err error
	if index < len(r.opts.Keys) {
		k := r.opts.Keys[index]
		h.identity, h.signing, h.onionSecret = k.identity, k.signing, k.onion
		if k.listen != "" {
			listen = k.listen
		}
	} else if err = h.makeKeys(r.opts.Rand); err != nil {
		return nil, err
	}
	secret, err := ecdh.X25519().NewPrivateKey(h.onionSecret[:])
	if err != nil {
		return nil, fmt.Errorf("onion key: %w", err)
	}
	h.onionKey = [32]byte(secret.PublicKey().Bytes())
	h.tlsConfig = &tls.Config{
		Certificates:           []tls.Certificate{h.identity.TLSCertificate()},
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
	}
	if r.opts.TLS != nil {
		r.opts.TLS(h.tlsConfig)
	}
	if h.listener, err = net.Listen("tcp4", listen); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Hop) makeKeys(random io.Reader) (err error) {
	if h.identity, err = linktest.MakeRelayIdentity(random); err != nil {
		return err
	}
	if _, err := io.ReadFull(random, h.onionSecret[:]); err != nil {
		return fmt.Errorf("onion key: %w", err)
	}
	return nil
}

// listenAddr gives each hop a /16 of its own, so that the subnet rule of path
// selection can be kept, and the kernel's choice of port.
func listenAddr(index int) string { return fmt.Sprintf("127.%d.0.1:0", index) }

// Index is the hop's place in Relay.Hops.
func (h *Hop) Index() int { return h.index }

// Addr is the OR port.
func (h *Hop) Addr() netip.AddrPort {
	return h.listener.Addr().(*net.TCPAddr).AddrPort()
}

// RSA is the digest of the RSA identity key.
func (h *Hop) RSA() [20]byte { return h.identity.Identity().RSA }

// Ed25519 is the Ed25519 identity key.
func (h *Hop) Ed25519() [32]byte { return h.identity.Identity().Ed25519 }

// OnionKey is the ntor onion key.
func (h *Hop) OnionKey() [32]byte { return h.onionKey }

// Identity holds the hop's keys, for tests that sign documents with them.
func (h *Hop) Identity() *linktest.RelayIdentity { return h.identity }

// TLSCertSHA256 is what a client finds in the TLS handshake.
func (h *Hop) TLSCertSHA256() [32]byte {
	return sha256.Sum256(h.tlsConfig.Certificates[0].Certificate[0])
}

// LinkSpecs are the link specifiers with which EXTEND2 names the hop.
func (h *Hop) LinkSpecs() []cell.LinkSpec {
	return []cell.LinkSpec{cell.AddrSpec(h.Addr()), cell.RSASpec(h.RSA()), cell.Ed25519Spec(h.Ed25519())}
}
