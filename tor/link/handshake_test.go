package link_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/link"
	"chive/tor/link/linktest"
)

var (
	clientAddr = netip.MustParseAddr("192.0.2.1")
	relayAddr  = netip.MustParseAddr("192.0.2.2")
	relayAddr6 = netip.MustParseAddr("2001:db8::2")
)

func config() link.Config {
	return link.Config{
		Want:          relay().Identity(),
		TLSCertSHA256: sha256.Sum256(tlsDER(relay())),
		PeerAddr:      relayAddr,
	}
}

func responder() *linktest.Responder {
	return &linktest.Responder{
		Identity: relay(), TLSCertDER: tlsDER(relay()), Random: rand.Reader,
		ClientAddr: clientAddr, Addrs: []netip.Addr{relayAddr, relayAddr6},
	}
}

// flight is what the relay sends after VERSIONS, all of it.
func flight(t testing.TB, r *linktest.Responder) []byte {
	t.Helper()
	_, send, _, err := r.Feed(link.New(config()).Start(), testTime)
	if err != nil {
		t.Fatal(err)
	}
	return send
}

func TestHandshake(t *testing.T) {
	for name, tt := range map[string]struct {
		ours, theirs []uint16
		want         uint16
	}{
		"the highest version in common is 5":     {nil, []uint16{3, 4, 5}, 5},
		"theirs end at 4":                        {nil, []uint16{3, 4}, 4},
		"ours end at 4":                          {[]uint16{4}, []uint16{3, 4, 5}, 4},
		"versions that nobody knows are ignored": {[]uint16{4, 5, 6}, []uint16{6, 5, 4, 65535}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Versions = tt.ours
			h, r := link.New(c), responder()
			r.Versions = tt.theirs
			toRelay := h.Start()
			n, toClient, done, err := r.Feed(toRelay, testTime)
			if n != len(toRelay) || done || err != nil {
				t.Fatal(n, done, err)
			}
			if h.Result().Version != 0 {
				t.Fatal("a result before the handshake")
			}
			rest := []byte("first cells")
			n, toRelay, done, err = h.Feed(append(toClient, rest...), testTime.Add(-3*time.Second))
			if n != len(toClient) || !done || err != nil {
				t.Fatal(n, done, err)
			}
			n, send, done, err := r.Feed(toRelay, testTime)
			if n != cell.FixedLen || len(toRelay) != n || send != nil || !done || err != nil {
				t.Fatal(n, len(toRelay), send, done, err)
			}
			want := link.Result{
				Version: tt.want, RSA: relay().Identity().RSA, Ed25519: relay().Identity().Ed25519,
				PeerTime: testTime, Skew: 3 * time.Second,
				MyAddr: clientAddr, PeerAddrs: []netip.Addr{relayAddr, relayAddr6},
			}
			if got := h.Result(); !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v", got)
			}
			if r.Version() != tt.want {
				t.Fatal("the relay took another version:", r.Version())
			}
			// tor-spec section 4.5: clients send no time and no addresses.
			if got := r.ClientNetinfo(); got.Timestamp != 0 || got.OtherAddr != relayAddr || got.MyAddrs != nil {
				t.Fatal(got)
			}
			if n, _, done, err := h.Feed(rest, testTime); n != 0 || !done || err != nil {
				t.Fatal("a finished handshake takes no more bytes:", n, done, err)
			}
		})
	}
}

func TestStart(t *testing.T) {
	if got := link.New(link.Config{}).Start(); !bytes.Equal(got, unhex(t, "0000 07 0004 0004 0005")) {
		t.Fatalf("%x", got)
	}
}

func TestNoTime(t *testing.T) {
	h := link.New(config())
	r := responder()
	sent := flight(t, r)
	copy(sent[len(sent)-cell.BodyLen:], []byte{0, 0, 0, 0})
	if _, _, done, err := h.Feed(sent, testTime); !done || err != nil {
		t.Fatal(done, err)
	}
	if got := h.Result(); !got.PeerTime.IsZero() || got.Skew != 0 {
		t.Fatal(got)
	}
}

// tor-spec section 4: "no other cell type is allowed to intervene besides
// those specified, except for VPADDING cells".
func TestOrder(t *testing.T) {
	r := responder()
	challenge, err := r.AuthChallengeCell()
	if err != nil {
		t.Fatal(err)
	}
	var (
		versions = r.VersionsCell()
		certs    = r.CertsCell(testTime)
		netinfo  = r.NetinfoCell(testTime)
		padding  = cell.AppendVariable(nil, 0, cell.Vpadding, []byte("padding"))
		narrow   = unhex(t, "0000 80 0002 ffff")
		fixed    = cell.AppendFixed(nil, 0, cell.Padding, nil)
		wide     = cell.AppendVariable(nil, 0, cell.Versions, []byte{0, 5})
		circuit  = cell.AppendVariable(nil, 7, cell.Certs, nil)
		oversize = unhex(t, "00000000 81 4001")
	)
	tests := []struct {
		name  string
		cells [][]byte
		want  error // nil: done
	}{
		{"in order", [][]byte{versions, certs, challenge, netinfo}, nil},
		{"VPADDING anywhere", [][]byte{narrow, narrow, versions, padding, certs, padding, challenge, padding, padding, netinfo}, nil},
		{"no VERSIONS", [][]byte{certs}, link.ErrProtocol},
		{"no CERTS", [][]byte{versions, challenge}, link.ErrProtocol},
		{"NETINFO without CERTS", [][]byte{versions, netinfo}, link.ErrProtocol},
		{"no AUTH_CHALLENGE", [][]byte{versions, certs, netinfo}, link.ErrProtocol},
		{"AUTH_CHALLENGE before CERTS", [][]byte{versions, challenge, certs, netinfo}, link.ErrProtocol},
		{"CERTS twice", [][]byte{versions, certs, certs}, link.ErrProtocol},
		{"AUTH_CHALLENGE twice", [][]byte{versions, certs, challenge, challenge}, link.ErrProtocol},
		{"VERSIONS twice", [][]byte{versions, versions}, link.ErrProtocol},
		{"VERSIONS again, with wide circuit ids", [][]byte{versions, wide}, link.ErrProtocol},
		{"PADDING is not VPADDING", [][]byte{versions, certs, fixed}, link.ErrProtocol},
		{"a cell on a circuit", [][]byte{versions, circuit}, link.ErrProtocol},
		{"VERSIONS on a circuit", [][]byte{unhex(t, "0001 07 0002 0005")}, link.ErrProtocol},
		{"an odd VERSIONS", [][]byte{unhex(t, "0000 07 0003 000500")}, link.ErrProtocol},
		{"CERTS over the size limit", [][]byte{versions, oversize}, link.ErrProtocol},
		{"a malformed CERTS", [][]byte{versions, unhex(t, "00000000 81 0001 01")}, link.ErrProtocol},
		{"an empty CERTS", [][]byte{versions, unhex(t, "00000000 81 0001 00")}, link.ErrCert},
		{"a short AUTH_CHALLENGE", [][]byte{versions, certs, unhex(t, "00000000 82 0001 00")}, link.ErrProtocol},
		{"a malformed NETINFO", [][]byte{versions, certs, challenge, cell.AppendFixed(nil, 0, cell.Netinfo, bytes.Repeat([]byte{255}, 509))}, link.ErrProtocol},
		{"no version in common", [][]byte{unhex(t, "0000 07 0004 0003 0006")}, link.ErrVersion},
		{"no version at all", [][]byte{unhex(t, "0000 07 0000")}, link.ErrVersion},
		{"HTTP", [][]byte{[]byte("HTTP/1.0 400 Bad Request\r\n\r\n")}, link.ErrProtocol},
		{"endless VPADDING", slices.Repeat([][]byte{padding}, 5000), link.ErrProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := link.New(config())
			all := slices.Concat(tt.cells...)
			n, send, done, err := h.Feed(all, testTime)
			if !errors.Is(err, tt.want) || done != (tt.want == nil) {
				t.Fatal(done, err)
			}
			if err == nil {
				if n != len(all) {
					t.Fatal("not all consumed:", n)
				}
				return
			}
			if send != nil || !reflect.DeepEqual(h.Result(), link.Result{}) {
				t.Fatal("a failed handshake sends and results in nothing")
			}
			if n, _, done, again := h.Feed(slices.Concat(versions, certs, challenge, netinfo), testTime); n != 0 || done || again != err {
				t.Fatal("a failed handshake stays failed:", n, done, again)
			}
		})
	}
}

// A peer that speaks something else is found out at its first bytes.
func TestRefusedEarly(t *testing.T) {
	h := link.New(config())
	if _, _, _, err := h.Feed([]byte("HT"), testTime); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := h.Feed([]byte("HTT"), testTime); !errors.Is(err, link.ErrProtocol) {
		t.Fatal(err)
	}
	h = link.New(config())
	if _, _, _, err := h.Feed(append(responder().VersionsCell(), 0, 0, 0, 0, byte(cell.Netinfo)), testTime); !errors.Is(err, link.ErrProtocol) {
		t.Fatal(err)
	}
}

func TestBadChainEndsHandshake(t *testing.T) {
	for _, tt := range badChains {
		t.Run(tt.name, func(t *testing.T) {
			r := responder()
			r.Mutations = tt.m
			_, send, done, err := link.New(config()).Feed(flight(t, r), testTime)
			if !errors.Is(err, link.ErrCert) || done || send != nil {
				t.Fatal(done, err)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	own, other := relay().Identity(), otherRelay().Identity()
	tests := []struct {
		name string
		want link.Identity
		ok   bool
	}{
		{"both keys", own, true},
		{"RSA alone", link.Identity{RSA: own.RSA}, true},
		{"Ed25519 alone", link.Identity{Ed25519: own.Ed25519}, true},
		{"no key asked for", link.Identity{}, true},
		{"another relay", other, false},
		{"another RSA key", link.Identity{RSA: other.RSA}, false},
		{"another Ed25519 key", link.Identity{Ed25519: other.Ed25519}, false},
		{"another RSA key with this Ed25519 key", link.Identity{RSA: other.RSA, Ed25519: own.Ed25519}, false},
		{"another Ed25519 key with this RSA key", link.Identity{RSA: own.RSA, Ed25519: other.Ed25519}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			c.Want = tt.want
			_, _, done, err := link.New(c).Feed(flight(t, responder()), testTime)
			if done != tt.ok || (err == nil) != tt.ok {
				t.Fatal(done, err)
			}
			if tt.ok {
				return
			}
			wrong, is := errors.AsType[*link.IdentityError](err)
			if !is || !errors.Is(err, link.ErrIdentity) || wrong.Want != tt.want || wrong.Got != own {
				t.Fatal(err)
			}
		})
	}
	if got := (link.Identity{}).String(); got != "any relay" {
		t.Fatal(got)
	}
}

// outcome is everything a caller can see of a handshake.
type outcome struct {
	consumed int
	sent     []byte
	done     bool
	err      string
	result   link.Result
}

// run feeds all of input; cut says how many more bytes come each time.
func run(input []byte, cut func(left int) int) outcome {
	h := link.New(config())
	var o outcome
	for have := 0; ; {
		n, send, done, err := h.Feed(input[o.consumed:have], testTime)
		o.consumed += n
		o.sent = append(o.sent, send...)
		o.done, o.result = done, h.Result()
		if err != nil {
			o.err = err.Error()
		}
		if done || err != nil || have == len(input) {
			return o
		}
		have += max(1, min(cut(len(input)-have), len(input)-have))
	}
}

func checkChunking(t interface{ Fatalf(string, ...any) }, input []byte, cut func(int) int) {
	whole := run(input, func(left int) int { return left })
	if cutUp := run(input, cut); !reflect.DeepEqual(whole, cutUp) {
		t.Fatalf("chunking changes the outcome:\n%+v\n%+v", whole, cutUp)
	}
}

func TestChunking(t *testing.T) {
	good := flight(t, responder())
	checkChunking(t, good, func(int) int { return 1 })
	rapid.Check(t, func(t *rapid.T) {
		input := slices.Clone(good)
		for range rapid.IntRange(0, 3).Draw(t, "flips") {
			// Headers are near the front and the rest is large: favour them.
			at := rapid.IntRange(0, min(len(input)-1, 1<<rapid.IntRange(1, 11).Draw(t, "range"))).Draw(t, "at")
			input[at] = rapid.Byte().Draw(t, "byte")
		}
		checkChunking(t, input, func(left int) int { return rapid.IntRange(1, 700).Draw(t, "chunk") })
	})
}

func FuzzHandshakeFeed(f *testing.F) {
	good := flight(f, responder())
	f.Add(good, []byte{1, 2, 3})
	f.Add(append(responder().VersionsCell(), unhex(f, "00000000 80 0001 ff 00000000 81 0001 00")...), []byte{5})
	f.Add([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"), []byte{1})
	f.Fuzz(func(t *testing.T, input, chunks []byte) {
		i := 0
		checkChunking(t, input, func(int) int {
			if len(chunks) == 0 {
				return 1
			}
			i++
			return int(chunks[i%len(chunks)])
		})
	})
}
