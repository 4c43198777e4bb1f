package netdoc

// internTable maps texts to what they parse to, so that equal texts share one value. The zero value is ready.
type internTable[V any] struct {
	values map[string]V
	bytes  int // total length of the texts
}

// Bounds on one table. A full one is dropped and grows anew, which costs memory, never correctness.
const (
	maxInterned      = 8192
	maxInternedBytes = 4 << 20
)

// intern looks text up, or parses it and keeps the value. What does not parse is not kept.
func (t *internTable[V]) intern(text []byte, parse func([]byte) (V, error)) (V, error) {
	if v, ok := t.values[string(text)]; ok {
		return v, nil
	}
	v, err := parse(text)
	if err != nil {
		return v, err
	}
	if t.values == nil || len(t.values) >= maxInterned || t.bytes+len(text) > maxInternedBytes {
		t.values, t.bytes = make(map[string]V), 0
	}
	t.values[string(text)] = v
	t.bytes += len(text)
	return v, nil
}
