package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chive/messages"
)

// The heads are how far each aggregate was when the journal was opened or closed last. A
// store that has less has lost something, though what it has may be whole: a block that is
// empty looks like one that was never written.
const (
	headsFile = "heads"
	maxHeads  = 1 << 20
)

type heads map[string]uint64

// readHeads gives none for a file that is not as it was written: it only guards.
func readHeads(dir string) heads {
	b, err := os.ReadFile(filepath.Join(dir, headsFile))
	if err != nil || len(b) > maxHeads {
		return nil
	}
	return parseHeads(string(b))
}

func parseHeads(text string) heads {
	body, sum, ok := strings.Cut(text, "sum ")
	if !ok || sum != headsSum(body) {
		return nil
	}
	h := heads{}
	for line := range strings.Lines(body) {
		var name string
		var sequence uint64
		if _, err := fmt.Sscanf(line, "%s %d\n", &name, &sequence); err != nil || !validName(name) || sequence > maxSequence {
			return nil
		}
		h[name] = sequence
	}
	return h
}

func headsSum(body string) string {
	return fmt.Sprintf("%08x\n", crc32.Checksum([]byte(body), castagnoli))
}

func (h heads) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&b, "%s %d\n", name, h[name])
	}
	return b.String() + "sum " + headsSum(b.String())
}

func (x *indexed) heads() heads {
	h := heads{}
	for name, a := range x.aggregates {
		if a.sequence > 0 {
			h[name] = a.sequence
		}
	}
	return h
}

// behind says where the store has less than it had.
func (x *indexed) behind(h heads) error {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		at := uint64(0)
		if a := x.aggregates[name]; a != nil {
			at = a.sequence
		}
		if at < h[name] {
			return fmt.Errorf("%w: %s ends at %d, it was at %d", messages.ErrJournalCorrupt, name, at, h[name])
		}
	}
	return nil
}

// writeHeads replaces them as a whole when they changed.
func writeHeads(dir string, h heads) error {
	path, text := filepath.Join(dir, headsFile), h.String()
	if b, err := os.ReadFile(path); err == nil && string(b) == text {
		return nil
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	return nil
}
