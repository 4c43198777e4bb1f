package onion

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
)

// Ring is the hash ring of one slot: the directories in the order of their
// index (rend-spec-v3 section 2.2.3). It is immutable.
type Ring struct {
	slot  Slot
	nodes []ringNode // ascending by index
}

type ringNode struct {
	index    [32]byte
	identity [32]byte
}

// NewRing places the directories on the ring. identities are the Ed25519
// identities of the relays with the HSDir flag; the same one twice counts once.
func NewRing(slot Slot, identities [][32]byte) *Ring {
	r := &Ring{slot: slot, nodes: make([]ringNode, 0, len(identities))}
	for _, id := range identities {
		r.nodes = append(r.nodes, ringNode{index: relayIndex(id, slot), identity: id})
	}
	slices.SortFunc(r.nodes, func(a, b ringNode) int { return bytes.Compare(a.index[:], b.index[:]) })
	r.nodes = slices.Compact(r.nodes)
	return r
}

// Slot is what the ring was made for.
func (r *Ring) Slot() Slot { return r.slot }

// Responsible lists the directories of a blinded key: for each of replicas
// places the spread that follow it, those of a lower replica skipped over. It has
// fewer than replicas*spread when the ring is small, and is in ring order within
// a replica, not shuffled.
func (r *Ring) Responsible(key BlindedKey, replicas, spread int) [][32]byte {
	chosen := make([][32]byte, 0, min(replicas*spread, len(r.nodes)))
	for replica := 1; replica <= replicas; replica++ {
		place := serviceIndex(key, replica, r.slot.Period)
		start := sort.Search(len(r.nodes), func(i int) bool {
			return bytes.Compare(r.nodes[i].index[:], place[:]) >= 0
		})
		added := 0
		for i := 0; i < len(r.nodes) && added < spread; i++ {
			id := r.nodes[(start+i)%len(r.nodes)].identity
			if !slices.Contains(chosen, id) {
				chosen = append(chosen, id)
				added++
			}
		}
	}
	return chosen
}

// serviceIndex is hs_service_index of section 2.2.3.
func serviceIndex(key BlindedKey, replica int, p Period) [32]byte {
	b := append([]byte("store-at-idx"), key[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(replica))
	b = binary.BigEndian.AppendUint64(b, p.Minutes)
	return sum256(binary.BigEndian.AppendUint64(b, p.Number))
}

// relayIndex is hs_relay_index: mind that number and length stand the other way
// round than in serviceIndex.
func relayIndex(identity [32]byte, s Slot) [32]byte {
	b := append([]byte("node-idx"), identity[:]...)
	b = append(b, s.Random[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Period.Number)
	return sum256(binary.BigEndian.AppendUint64(b, s.Period.Minutes))
}
