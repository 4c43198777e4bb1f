package polyval

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func block(t testing.TB, s string) *[BlockSize]byte {
	t.Helper()
	return (*[BlockSize]byte)(unhex(t, s))
}

// RFC 8452, section 3 (the field) and appendix A (the worked example).
func TestRFC8452(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		var product [BlockSize]byte
		Mul(&product, block(t, "66e94bd4ef8a2c3b884cfa59ca342b2e"), block(t, "ff000000000000000000000000000000"))
		if got := hex.EncodeToString(product[:]); got != "ebe563401e7e91ea3ad6426b8140c394" {
			t.Errorf("dot(a, b) is %s", got)
		}
		var k Key
		k.Init(block(t, "25629347589242761d31f826ba4b757b"))
		var acc [BlockSize]byte
		k.Update(&acc, unhex(t, "4f4f95668c83dfb6401762bb2d01a262d1a24ddd2721d006bbe45f20d3c9f362"))
		if got := hex.EncodeToString(acc[:]); got != "f7a3b47b846119fae5b7866cf5e5b77e" {
			t.Errorf("POLYVAL is %s", got)
		}
	})
}

// The POLYVAL results of RFC 8452 appendix C.1, which the key generation key and the
// padded data with their lengths go into.
func TestRFC8452AppendixC(t *testing.T) {
	vectors := []struct{ key, input, result string }{
		{"d9b360279694941ac5dbc6987ada7377", "0100000000000000000000000000000000000000000000004000000000000000", "eb93b7740962c5e49d2a90a7dc5cec74"},
		{"d9b360279694941ac5dbc6987ada7377", "0100000000000000000000000000000000000000000000006000000000000000", "48eb6c6c5a2dbe4a1dde508fee06361b"},
		{"d9b360279694941ac5dbc6987ada7377", "0100000000000000000000000000000000000000000000008000000000000000", "20806c26e3c1de019e111255708031d6"},
		{"d9b360279694941ac5dbc6987ada7377", "010000000000000000000000000000000200000000000000000000000000000000000000000000000001000000000000", "ce6edc9a50b36d9a98986bbf6a261c3b"},
	}
	eachPath(t, func(t *testing.T) {
		for _, v := range vectors {
			var k Key
			k.Init(block(t, v.key))
			var acc [BlockSize]byte
			k.Update(&acc, unhex(t, v.input))
			if got := hex.EncodeToString(acc[:]); got != v.result {
				t.Errorf("%s: %s, want %s", v.input, got, v.result)
			}
		}
	})
}

// bitwise is dot by the definition, a bit at a time: b·x^-128 is halved 128 times, that is,
// shifted towards the least significant bit, after the modulus has made it even.
func bitwise(a, b element) (s element) {
	for i := range 128 {
		if a[i/64]>>(i%64)&1 == 1 {
			s[0] ^= b[0]
			s[1] ^= b[1]
		}
		odd := s[0] & 1
		s[0] = s[0]>>1 | s[1]<<63
		s[1] >>= 1
		if odd == 1 { // (1 + x^121 + x^126 + x^127 + x^128) / x
			s[1] ^= 1<<(120-64) | 1<<(125-64) | 1<<(126-64) | 1<<(127-64)
		}
	}
	return s
}

func TestDotIsTheDefinition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			a := element{rapid.Uint64().Draw(t, "a0"), rapid.Uint64().Draw(t, "a1")}
			b := element{rapid.Uint64().Draw(t, "b0"), rapid.Uint64().Draw(t, "b1")}
			var x, y [BlockSize]byte
			a.store(x[:])
			b.store(y[:])
			Mul(&x, &x, &y)
			if got := load(x[:]); got != bitwise(a, b) {
				t.Fatalf("%x · %x = %x, want %x", a, b, got, bitwise(a, b))
			}
		})
	})
}

// All code gives one hash, whatever the length and wherever a message is cut.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), bytes.Repeat([]byte{0xff}, 40*BlockSize), uint8(7))
	f.Add(make([]byte, BlockSize), []byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, key, message []byte, cut uint8) {
		var h [BlockSize]byte
		copy(h[:], key)
		message = message[:len(message)/BlockSize*BlockSize]
		first := min(int(cut)*BlockSize, len(message))
		var want Key
		initKeyGeneric(&want, &h)
		var hash [BlockSize]byte
		updateGeneric(&want, &hash, message)
		eachPath(t, func(t *testing.T) {
			var k Key
			k.Init(&h)
			if k.powers != want.powers {
				t.Errorf("powers %x, want %x", k.powers, want.powers)
			}
			var acc [BlockSize]byte
			k.Update(&acc, message[:first])
			k.Update(&acc, message[first:])
			if acc != hash {
				t.Errorf("%d blocks, cut after %d: %x, want %x", len(message)/BlockSize, cut, acc, hash)
			}
		})
	})
}

func TestPathsAgreeOnRandomInput(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{8, 4, 5, 2})
	for range 2000 {
		var h [BlockSize]byte
		_, _ = rng.Read(h[:])
		message := make([]byte, BlockSize*(1+int(rng.Uint64()%70)))
		_, _ = rng.Read(message)
		var want, got [BlockSize]byte
		_, _ = rng.Read(want[:])
		got = want
		var k Key
		initKeyGeneric(&k, &h)
		updateGeneric(&k, &want, message)
		k.Init(&h)
		k.Update(&got, message)
		if got != want {
			t.Fatalf("%d blocks: %x, want %x", len(message)/BlockSize, got, want)
		}
	}
}

func TestPartOfABlockPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("15 bytes are no block")
		}
	}()
	var k Key
	var acc [BlockSize]byte
	k.Update(&acc, make([]byte, 15))
}

func TestNoAllocation(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		var k Key
		var acc [BlockSize]byte
		message := make([]byte, 32*BlockSize)
		if n := testing.AllocsPerRun(100, func() {
			k.Init(&acc)
			k.Update(&acc, message)
			Mul(&acc, &acc, &acc)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	var k Key
	var acc [BlockSize]byte
	message := make([]byte, 512)
	k.Init(&acc)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		k.Update(&acc, message)
	}
}

func BenchmarkUpdateGeneric(b *testing.B) {
	var k Key
	var acc [BlockSize]byte
	message := make([]byte, 512)
	initKeyGeneric(&k, &acc)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		updateGeneric(&k, &acc, message)
	}
}

func BenchmarkInit(b *testing.B) {
	var k Key
	var h [BlockSize]byte
	b.ReportAllocs()
	for b.Loop() {
		k.Init(&h)
	}
}

func BenchmarkMul(b *testing.B) {
	var x, y [BlockSize]byte
	b.ReportAllocs()
	for b.Loop() {
		Mul(&x, &x, &y)
	}
}
