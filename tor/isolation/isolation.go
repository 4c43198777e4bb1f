package isolation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"math/bits"
)

// Field is one respect in which streams agree or differ.
type Field uint8

// The fields, with C tor's flag of each.
const (
	SessionGroup   Field  = iota // ISO_SESSIONGRP: of the listener; always isolates
	Epoch                        // ISO_NYM_EPOCH: of the last renewal before the stream; always isolates
	ClientAddr                   // ISO_CLIENTADDR
	SOCKSAuth                    // ISO_SOCKSAUTH: or what stands for it in HTTP
	ClientProtocol               // ISO_CLIENTPROTO
	DestPort                     // ISO_DESTPORT
	DestAddr                     // ISO_DESTADDR: as asked for, before any mapping
	ClientPort                   // of chive alone
	Fields         = iota        // how many there are
)

// Flags is a set of fields.
type Flags uint16

// always isolates every stream.
const always = Flags(1<<SessionGroup | 1<<Epoch)

// Has says whether the field is in the set.
func (f Flags) Has(field Field) bool { return f&(1<<field) != 0 }

// With is the set and, if on, the field.
func (f Flags) With(field Field, on bool) Flags {
	if on {
		f |= 1 << field
	}
	return f
}

// Values is a value for each field.
type Values [Fields]uint64

// differ is the set of fields in which two streams differ.
func (v *Values) differ(o *Values) (out Flags) {
	for f := range Field(Fields) {
		out = out.With(f, v[f] != o[f])
	}
	return out
}

// at is the values in a set of fields, 0 elsewhere.
func (v *Values) at(set Flags) (out Values) {
	for f := range Field(Fields) {
		if set.Has(f) {
			out[f] = v[f]
		}
	}
	return out
}

// Bytes gives the values in order, 8 bytes each, big-endian.
func (v *Values) Bytes() []byte {
	out := make([]byte, 0, 8*Fields)
	for _, value := range v {
		out = binary.BigEndian.AppendUint64(out, value)
	}
	return out
}

// ValuesOf reads what Bytes gave; false: it is not of that.
func ValuesOf(b []byte) (v Values, ok bool) {
	if len(b) != 8*Fields {
		return v, false
	}
	for f := range v {
		v[f] = binary.BigEndian.Uint64(b[8*f:])
	}
	return v, true
}

// Token is a stream's isolation. The zero Token is of streams that no application asked
// for: they share circuits with each other only.
type Token struct {
	Flags  Flags // what it isolates by, beside what always does
	Values Values
}

// Isolates is the set of fields that the stream isolates by.
func (t *Token) Isolates() Flags { return t.Flags | always }

// Maker makes one token. Its key is secret, and the same for all streams of a boot.
type Maker struct {
	Token Token
	mac   hash.Hash
	buf   []byte
}

// Make begins a token.
func Make(key *[32]byte) Maker { return Maker{mac: hmac.New(sha256.New, key[:])} }

// Set gives a field the keyed digest of what the stream has in it, and says whether the
// stream isolates by it. Different lists of texts give different digests, and so do
// different fields, but for chance (2⁻⁶⁴ a pair).
func (m *Maker) Set(field Field, isolates bool, texts ...string) {
	m.buf = append(m.buf[:0], byte(field))
	for _, text := range texts {
		m.buf = binary.BigEndian.AppendUint64(m.buf, uint64(len(text)))
		m.buf = append(m.buf, text...)
	}
	m.mac.Reset()
	m.mac.Write(m.buf)
	m.buf = m.mac.Sum(m.buf[:0])
	m.Token.Values[field] = binary.BigEndian.Uint64(m.buf)
	m.Token.Flags = m.Token.Flags.With(field, isolates)
}

// names are those of lower-case subjects.
var names = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Name is a short name for what the stream isolates by and its values there, the epoch
// apart: streams of one name share circuits within an epoch. It is a digest of digests,
// so that it tells even less.
func (t *Token) Name() string {
	set := t.Isolates() &^ (1 << Epoch)
	values := t.Values.at(set)
	sum := sha256.Sum256(binary.BigEndian.AppendUint16(values.Bytes(), uint16(set)))
	return Short(sum[:])
}

// Short is a digest's name in events: its first 8 bytes.
func Short(digest []byte) string { return names.EncodeToString(digest[:8]) }

// Compatible says whether two streams may share a circuit.
func (t *Token) Compatible(o *Token) bool {
	return t.Values.differ(&o.Values)&(t.Isolates()|o.Isolates()) == 0
}

// Circuit is the isolation of a circuit. The zero Circuit has carried nothing. Circuits
// that are equal as Go values fit the same streams.
type Circuit struct {
	isolates Flags
	mixed    Flags
	values   Values // 0 where mixed
}

// Used says whether it has carried a stream.
func (c *Circuit) Used() bool { return c.isolates != 0 }

// Fits says whether the circuit may carry the stream.
func (c *Circuit) Fits(t *Token) bool {
	return !c.Used() || (c.mixed|c.values.differ(&t.Values))&(c.isolates|t.Isolates()) == 0
}

// Mixes is how many fields would become mixed by the stream: what shares least is the
// better place for it.
func (c *Circuit) Mixes(t *Token) int {
	if !c.Used() {
		return 0
	}
	return bits.OnesCount16(uint16(c.values.differ(&t.Values) &^ c.mixed))
}

// Join notes that the circuit carries the stream.
func (c *Circuit) Join(t *Token) {
	c.JoinCircuit(&Circuit{isolates: t.Isolates(), values: t.Values})
}

// JoinCircuit notes that the circuit carries all that another does.
func (c *Circuit) JoinCircuit(o *Circuit) {
	switch {
	case !o.Used():
		return
	case !c.Used():
		*c = *o
		return
	}
	c.mixed |= o.mixed | c.values.differ(&o.values)
	c.values = c.values.at(^c.mixed)
	c.isolates |= o.isolates
}

// Key is what circuits are found by: the fields that a circuit isolates by and its values
// there. A stream that fits a circuit has its Key in those fields.
type Key struct {
	Isolates Flags
	values   Values
}

// Key is the circuit's.
func (c *Circuit) Key() Key { return Key{c.isolates, c.values.at(c.isolates)} }

// Key is that of the circuits with these flags that the stream may fit.
func (t *Token) Key(isolates Flags) Key { return Key{isolates, t.Values.at(isolates)} }
