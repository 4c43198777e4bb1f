package client

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"chive/tor/cell"
	"chive/tor/handshake"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
	"chive/tor/onion/relaymsg"
)

var begin = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

var times = Times{Fetch: 30 * time.Second, Open: time.Minute, Ack: 10 * time.Second, Rendezvous: 20 * time.Second}

// world is a service with its directories, and a client of it.
type world struct {
	t        testing.TB
	rng      *rand.ChaCha8
	identity *onion.SecretKey
	now      time.Time
	net      onion.Network
	ring     [][32]byte
	s        *Service
	intros   []*introSide
	desc     *descriptor.Descriptor
	revision uint64
	clients  [][32]byte
	inc      int
}

// introSide is the service's end of an introduction point.
type introSide struct {
	point descriptor.IntroPoint
	enc   *handshake.HSNtorService
}

func newWorld(t testing.TB, seed byte) *world {
	w := &world{t: t, rng: rand.NewChaCha8([32]byte{seed}), now: begin, revision: 42, inc: 31}
	w.identity = onion.SecretKeyOfSeed(w.random())
	one, two := w.random(), w.random()
	w.net = onion.Network{
		Schedule: onion.Schedule{Voting: time.Hour, Minutes: 1440}, ValidAfter: begin,
		Current: &one, Previous: &two, Replicas: 2, SpreadFetch: 3, SpreadStore: 4,
	}
	for range 40 {
		w.ring = append(w.ring, w.random())
	}
	w.desc = &descriptor.Descriptor{Handshakes: []uint16{2}, FlowControl: &descriptor.FlowControl{
		Versions: protocols(t, "FlowCtrl=1-2"), SendmeInc: 31,
	}}
	for range 3 {
		w.addIntro(netip.MustParseAddrPort("20.1.2.3:9001"))
	}
	w.s = New(Options{Address: w.identity.Address(), Keys: w.rng, Rand: rand.New(w.rng), Times: times})
	w.update()
	return w
}

func protocols(t testing.TB, s string) netdoc.Protocols {
	p, err := netdoc.ParseProtocols(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) random() (b [32]byte) {
	_, _ = w.rng.Read(b[:])
	return b
}

func (w *world) x25519() (private, public [32]byte) {
	private = w.random()
	key, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		w.t.Fatal(err)
	}
	return private, [32]byte(key.PublicKey().Bytes())
}

func (w *world) addIntro(at netip.AddrPort) *introSide {
	encPriv, enc := w.x25519()
	_, ntor := w.x25519()
	auth := onion.SecretKeyOfSeed(w.random()).PublicKey()
	side, err := handshake.NewHSNtorService(auth, encPriv)
	if err != nil {
		w.t.Fatal(err)
	}
	rsa := w.random()
	i := &introSide{point: descriptor.IntroPoint{
		Specs:    []cell.LinkSpec{cell.AddrSpec(at), cell.RSASpec([20]byte(rsa[:20])), cell.Ed25519Spec(w.random()), {Type: 77, Body: []byte("mark")}},
		OnionKey: ntor, AuthKey: auth, EncKey: enc,
	}, enc: side}
	w.intros = append(w.intros, i)
	w.desc.Intros = append(w.desc.Intros, i.point)
	return i
}

func (w *world) update() {
	w.s.Update(&View{Network: w.net, Ring: onion.NewRing(w.net.Fetch(), w.ring), SendmeIncrement: w.inc}, w.now)
}

// text is the service's descriptor as directories have it.
func (w *world) text() []byte { return w.signed(w.identity) }

func (w *world) signed(identity *onion.SecretKey) []byte {
	blinded := identity.Blind(w.net.Fetch().Period)
	seed := w.random()
	signing := ed25519.NewKeyFromSeed(seed[:])
	s := &descriptor.Signer{
		Blinded:       onion.BlindedKey(blinded.PublicKey()),
		Subcredential: identity.Address().Subcredential(onion.BlindedKey(blinded.PublicKey())),
		SigningKey:    signing,
		SigningCert:   descriptor.CertifySigningKey(blinded, signing.Public().(ed25519.PublicKey), w.now.Add(descriptor.CertLifetime)),
		Revision:      w.revision, Lifetime: descriptor.DefaultLifetime, CertExpires: w.now.Add(descriptor.CertLifetime),
		Clients: w.clients,
	}
	b, err := s.Build(w.rng, w.desc)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// next takes the only action, of a type.
func next[A Action](w *world) A {
	w.t.Helper()
	actions := w.s.Take()
	if len(actions) != 1 {
		w.t.Fatalf("%d actions: %s", len(actions), kinds(actions))
	}
	a, ok := actions[0].(A)
	if !ok {
		w.t.Fatalf("the action is %s", kinds(actions))
	}
	return a
}

func kinds(actions []Action) string {
	var b bytes.Buffer
	for _, a := range actions {
		switch a := a.(type) {
		case *Fetch:
			b.WriteString("fetch ")
		case *OpenRendezvous:
			b.WriteString("rendezvous ")
		case *OpenIntroduction:
			b.WriteString("introduction ")
		case *Solve:
			b.WriteString("solve ")
		case *Introduce:
			b.WriteString("introduce ")
		case *Join:
			b.WriteString("join ")
		case *Close:
			b.WriteString("close ")
		case *Failed:
			b.WriteString("failed(" + a.Cause.String() + ") ")
		}
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// pick finds the first action of a type.
func pick[A Action](w *world, actions []Action) A {
	w.t.Helper()
	for _, a := range actions {
		if a, ok := a.(A); ok {
			return a
		}
	}
	w.t.Fatalf("missing among %q", kinds(actions))
	var none A
	return none
}

var meeting = Point{
	RSA: [20]byte{9}, Ed25519: [32]byte{9}, IPv4: netip.MustParseAddrPort("20.9.9.9:443"), OnionKey: [32]byte{7},
}

func (w *world) side(ip [32]byte) *introSide {
	for _, i := range w.intros {
		if i.point.OnionKey == ip {
			return i
		}
	}
	w.t.Fatal("an introduction point that the service has not")
	return nil
}

// request opens an INTRODUCE1 as the service does.
func (w *world) request(i *introSide, message []byte) (*relaymsg.Request, *handshake.HSNtorRequest) {
	w.t.Helper()
	m, err := relaymsg.ParseIntroduce2(message)
	if err != nil || m.AuthKey != i.point.AuthKey {
		w.t.Fatalf("INTRODUCE1: %v", err)
	}
	p := w.net.Fetch().Period
	blinded, err := w.identity.Address().Blind(p)
	if err != nil {
		w.t.Fatal(err)
	}
	open, err := i.enc.Open([][32]byte{w.identity.Address().Subcredential(blinded)}, m.Header, m.Encrypted)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := relaymsg.ParseRequest(open.Plaintext)
	if err != nil {
		w.t.Fatal(err)
	}
	return r, open
}

// toCircuits brings an attempt to its two circuits.
func (w *world) toCircuits() (ID, *OpenIntroduction, *OpenRendezvous) {
	w.t.Helper()
	id := w.s.Connect(w.now)
	f := next[*Fetch](w)
	w.s.Fetched(f.ID, w.text(), w.now)
	actions := w.s.Take()
	return id, pick[*OpenIntroduction](w, actions), pick[*OpenRendezvous](w, actions)
}

// ready opens both circuits and gives the INTRODUCE1.
func (w *world) ready(i *OpenIntroduction, r *OpenRendezvous) *Introduce {
	w.t.Helper()
	w.s.Opened(i.ID, w.now)
	w.s.Established(r.ID, meeting, w.now)
	return next[*Introduce](w)
}

func ack(s relaymsg.AckStatus) []byte { return relaymsg.AppendIntroduceAck(nil, s) }
