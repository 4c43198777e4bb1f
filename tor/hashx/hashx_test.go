package hashx

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// vectors are the published ones: those of HashX itself, then seeds whose
// generation runs out of destination registers once and recovers.
var vectors = []struct {
	seed string
	word uint64
	hash string
}{
	{"This is a test\x00", 0, "2b2f54567dcbea98fdb5d5e5ce9a65983c4a4e35ab1464b1efb61e83b7074bb2"},
	{"This is a test\x00", 123456, "aebdd50aa67c93afb82a4c534603b65e46decd584c55161c526ebc099415ccf1"},
	{"Lorem ipsum dolor sit amet\x00", 123456, "ab3d155bf4bbb0aa3a71b7801089826186e44300e6932e6ffd287cf302bbb0ba"},
	{"Lorem ipsum dolor sit amet\x00", 987654321123456789, "8dfef0497c323274a60d1d93292b68d9a0496379ba407b4341cf868a14d30113"},
	{"llompmb", 0xce3917d056269f6e, "cafda60c4c351be4ccdc8a9375fd9aea830200dc472da04651150868591bd32f"},
	{"nqgxgl", 0x502d1f959c141a1b, "73c0aa53b1c6a667e85c5c4d4263e0029b6c117ff29ca3d6f7c89db87500feea"},
	{"yatmebd", 0xc431100bf283cd89, "3792c60a2616b04a8eebfb76ce11f7cb7786fd3d767a47f10a4f63db50a36e11"},
	{"jvanmtb", 0x399b83de5eb85d81, "24d1ce6019c3ceb4be0af9ea57ee636472902cce04c10cee97b07eb141904e2d"},
	{"amftbk", 0x81d20d7110e3c280, "04458aa05b54322ca87cd773d0177f223df0c930b4db6e0371ecb3c2cc653770"},
	{"ebrazua", 0xebc19ba9cafb0863, "41cb0b4b24551d26b0a98a57b4da5d22d03883a0626ed674995a6d8688b38bf9"},
	{"zsakied", 0xd190bb98e2d7ebdf, "1c4b22f9710ef2a8fc54296e64b62580a1aaadc66ab4031549e9e30c57c2cc18"},
	{"wlmaqhb", 0xf9b239ca5919578c, "1cf2a67e5836a0486580bde5a7e51551cf269eb05d53c8872375e11137f41937"},
	{"ezfvvx", 0x06b4a7079456083b, "c0d2d29ce6d67d0ae6bf178b4d61359dd0e4631d7f2aab936b04c480c7259603"},
	{"jxzoddc", 0x1e37c61f64bb59c6, "c3a9c90b17a74be31ad538d5d569dca7e77332ff92e4f68793ca0049b7a1a0cd"},
}

func TestSumsArePublishedVectors(t *testing.T) {
	for _, v := range vectors {
		var f Function
		if err := f.Reset([]byte(v.seed)); err != nil {
			t.Fatalf("seed %q: %v", v.seed, err)
		}
		var got [32]byte
		for i, w := range f.sum(v.word) {
			binary.LittleEndian.PutUint64(got[i*8:], w)
		}
		if s := hex.EncodeToString(got[:]); s != v.hash {
			t.Errorf("seed %q, word %d: %s, want %s", v.seed, v.word, s, v.hash)
		}
		if w := f.Sum64(v.word); w != binary.LittleEndian.Uint64(got[:]) {
			t.Errorf("seed %q, word %d: Sum64 %x is not the start of %x", v.seed, v.word, w, got)
		}
	}
}

func TestSeedsWithoutProgramAreRefused(t *testing.T) {
	for _, seed := range []string{
		"\xf9\x05\x00\x00", "\x5d\x93\x02\x00",
		"cflngib", "qzdfsbb", "klwysfa", "ijuorca", "naivvwc", "nnbved", "mhelht", "pjkzbyc", "hnpzsn", "qfjsfv",
		"tvfdrjb", "zuneuh", "augbcgc", "ldspzed",
	} {
		if err := new(Function).Reset([]byte(seed)); !errors.Is(err, ErrSeed) {
			t.Errorf("seed %q: %v, want ErrSeed", seed, err)
		}
	}
	for _, seed := range []string{
		"\xf8\x05\x00\x00", "\x5e\x93\x02\x00", "aeloscc", "fysixgb", "snxunsc", "sdbwwmb",
	} {
		if err := new(Function).Reset([]byte(seed)); err != nil {
			t.Errorf("seed %q: %v", seed, err)
		}
	}
}

// A function reset is that of the new seed alone, and Fill is Sum64 in a row.
func TestResetAndFill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var used, fresh Function
		seeds := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 2, 2).Draw(t, "seeds")
		_ = used.Reset(seeds[0]) // whether or not it has a program
		errUsed, errFresh := used.Reset(seeds[1]), fresh.Reset(seeds[1])
		if !errors.Is(errUsed, errFresh) {
			t.Fatalf("reset says %v, fresh %v", errUsed, errFresh)
		}
		if errUsed != nil {
			return
		}
		first := rapid.Uint64().Draw(t, "first")
		out := make([]uint64, rapid.IntRange(0, 2*laneCount+1).Draw(t, "n"))
		used.Fill(out, first)
		for i, w := range out {
			if want := fresh.Sum64(first + uint64(i)); w != want {
				t.Fatalf("word %d: %x, want %x", first+uint64(i), w, want)
			}
		}
	})
}

func TestSumDoesNotAllocate(t *testing.T) {
	var f Function
	if err := f.Reset([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { f.Sum64(7) }); n != 0 {
		t.Errorf("%v allocations a hash", n)
	}
}

func BenchmarkReset(b *testing.B) {
	var f Function
	var seed [8]byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.LittleEndian.PutUint64(seed[:], uint64(i))
		_ = f.Reset(seed[:])
	}
}

func BenchmarkSum64Interpreted(b *testing.B) {
	var f Function
	if err := f.Reset([]byte("a")); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		f.Sum64(uint64(i))
	}
}

func BenchmarkFillInterpreted(b *testing.B) {
	var f Function
	if err := f.Reset([]byte("a")); err != nil {
		b.Fatal(err)
	}
	out := make([]uint64, 256)
	for i := 0; b.Loop(); i += len(out) {
		f.Fill(out, uint64(i))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(out)), "ns/hash")
}
