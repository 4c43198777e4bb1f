package pow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// turnLength is for how long an agreed seed is offered: as long as drawn ones are.
const turnLength = 112 * time.Minute

// SeedKey is what several hosts of one service derive their seeds from, so that each
// accepts what any of them offered. It is a secret and prints as "[redacted]".
type SeedKey [32]byte

// Format implements fmt.Formatter so that no verb can print it.
func (SeedKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// schedule says which seed has its turn when. Turns begin at times of the key's own, so
// that services do not change theirs all at once.
type schedule struct {
	key   SeedKey
	shift time.Duration // of the turns against the epoch
	at    int64         // the present turn
	next  generation    // of hosts whose clocks are ahead of ours
}

// NewAgreedGate makes a gate whose seeds follow from a key and the time. A proof counts
// once at each host: they do not know what the others accepted. One that was accepted
// before a restart counts once more.
func NewAgreedGate(key SeedKey, now time.Time) *Gate {
	h := mac(key, "shift", 0)
	shift := time.Duration(binary.BigEndian.Uint64(h[:])%uint64(turnLength/time.Second)) * time.Second
	g := &Gate{limit: maxProofs, agreed: &schedule{key: key, shift: shift}}
	g.turn(now)
	return g
}

// turn makes the seeds those of now, and keeps the proofs of those that stay.
func (g *Gate) turn(now time.Time) {
	a := g.agreed
	known := map[Seed]generation{}
	for _, at := range [3]*generation{&g.previous, &g.current, &a.next} {
		if at.used != nil {
			known[at.seed] = *at
		}
	}
	of := func(turn int64) generation {
		seed := Seed(mac(a.key, "seed", turn))
		if at, ok := known[seed]; ok {
			return at
		}
		return generation{seed: seed, used: map[Nonce]uint32{}}
	}
	a.at = (now.Unix() - int64(a.shift/time.Second)) / int64(turnLength/time.Second)
	g.previous, g.current, a.next = of(a.at-1), of(a.at), of(a.at+1)
	g.expires = time.Unix(0, 0).UTC().Add(a.shift + time.Duration(a.at+1)*turnLength)
}

func mac(key SeedKey, use string, turn int64) [32]byte {
	h := hmac.New(sha256.New, key[:])
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte(use), uint64(turn)))
	return [32]byte(h.Sum(nil))
}
