package onion

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// C tor's vectors of its order-preserving encryption.
func TestEncryptOffsetVectors(t *testing.T) {
	key := unhex32(t, "19e05891d55232c08c2cad91d612fdb9cbd6691949a0742434a76c80bc6992fe")
	for n, want := range map[int]uint64{
		82283:  2695743564,
		72661:  2381548866,
		72941:  2390408421,
		123122: 4036781069,
		12154:  402067100,
		121574: 3986197593,
		11391:  376696838,
		65845:  2161801517,
		86301:  2828270975,
		61284:  2013616892,
		70505:  2313368870,
		30438:  1001394664,
		60150:  1977329668,
		114800: 3764946628,
		109403: 3585352477,
		21893:  721388468,
		123569: 4051780471,
		95617:  3134921876,
		48561:  1597596985,
		53334:  1753691710,
		92746:  3040874493,
		7110:   234966492,
		9612:   318326551,
		106958: 3506124249,
		46889:  1542219146,
		87790:  2877361609,
		68878:  2260369112,
		47917:  1576681737,
		121128: 3971553290,
		108602: 3559176081,
		28217:  929692460,
		69498:  2280554161,
		63870:  2098322675,
		57542:  1891698992,
		122148: 4004515805,
		46254:  1521227949,
		42850:  1408996941,
		92661:  3037901517,
		57720:  1897369989,
	} {
		if got := encryptOffset(key, n); got != want {
			t.Errorf("%d encrypts to %d, want %d", n, got, want)
		}
	}
}

// "Monotonically increasing over the lifetime of each blinded public key"
// (appendix F), strictly so from one second to the next.
func TestRevisionCountersGrow(t *testing.T) {
	seed := [32]byte{1}
	key := SecretKeyOfSeed(seed).Blind(Period{Number: 1234, Minutes: 1440})
	slot := Slot{RunStart: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.IntRange(0, 261000).Draw(t, "a")
		b := rapid.IntRange(a+1, 262000).Draw(t, "b")
		at := func(seconds int) uint64 {
			return RevisionCounter(key, slot, slot.RunStart.Add(time.Duration(seconds)*time.Second))
		}
		if at(a) >= at(b) {
			t.Fatalf("second %d counts %d, second %d counts %d", a, at(a), b, at(b))
		}
	})
	if RevisionCounter(key, slot, slot.RunStart.Add(-time.Hour)) != RevisionCounter(key, slot, slot.RunStart) {
		t.Error("a clock before the slot is not the slot's start")
	}
	if RevisionCounter(key, slot, slot.RunStart.Add(1000*time.Hour)) != encryptOffsetOf(key, int(MaxRevisionOffset/time.Second)) {
		t.Error("a clock far after the slot is not capped")
	}
}

func encryptOffsetOf(key *SecretKey, n int) uint64 {
	secret := key.Bytes()
	return encryptOffset(sum256([]byte(revisionPrefix), secret[:]), n)
}

func unhex32(t testing.TB, s string) [32]byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		t.Fatalf("%q is not 32 bytes of hexadecimal: %v", s, err)
	}
	return [32]byte(b)
}

func random32(rng *rand.ChaCha8) (b [32]byte) {
	_, _ = rng.Read(b[:])
	return b
}
