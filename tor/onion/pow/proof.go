package pow

import (
	"encoding/binary"
	"errors"

	"chive/tor/equix"
)

const (
	// ExtensionType is the INTRODUCE1 extension in whose body a proof is sent,
	// within the encrypted part of the cell.
	ExtensionType = 2
	// ExtensionSize is the length of that body.
	ExtensionSize = 1 + 16 + 4 + 4 + equix.Size

	version = 1
)

// ErrMalformed says that an extension holds no proof of a version we know.
var ErrMalformed = errors.New("pow: no proof of work of version 1")

// Proof is a solved puzzle as the client sends it.
type Proof struct {
	Nonce    Nonce
	Effort   uint32
	SeedHead SeedHead
	Solution equix.Solution
}

// Append appends the extension's body to b: the version, the nonce, the effort
// (big-endian), the head of the seed, the solution (its indices
// little-endian).
func (p *Proof) Append(b []byte) []byte {
	b = append(b, version)
	b = append(b, p.Nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, p.Effort)
	b = append(b, p.SeedHead[:]...)
	solution := p.Solution.Bytes()
	return append(b, solution[:]...)
}

// ParseProof reads an extension's body, or says [ErrMalformed].
func ParseProof(body []byte) (Proof, error) {
	if len(body) != ExtensionSize || body[0] != version {
		return Proof{}, ErrMalformed
	}
	return Proof{
		Nonce:    Nonce(body[1:17]),
		Effort:   binary.BigEndian.Uint32(body[17:21]),
		SeedHead: SeedHead(body[21:25]),
		Solution: equix.ParseSolution([equix.Size]byte(body[25:])),
	}, nil
}
