package messages

import "errors"

// ShareEntry is what is stored for onion services that nodes share. Key and value tell
// nothing of the service: see tor/onion/share.
type ShareEntry struct {
	Key    string
	Value  []byte // nil: it was deleted, or there is none
	Number uint64 // of the write; 0: nothing was ever stored, or it is not known yet
}

// ErrShareConflict: what is stored is not what the writer has seen.
var ErrShareConflict = errors.New("another wrote meanwhile")

// SharePort is a node's way to what the fleet stores for onion services that its nodes
// share. Its methods return at once; what they are given is called later, once, from
// another goroutine, unless said otherwise.
type SharePort interface {
	// ShareWrite stores a value if the last number at its key is expect (0: there is none),
	// and gives the write's own. Error: ErrShareConflict if it was not stored; after others
	// it may have been, or may still be.
	ShareWrite(key string, value []byte, expect uint64, done func(number uint64, err error))
	// SharePut stores a value, or nil to delete it; nobody is told what became of it.
	SharePut(key string, value []byte)
	// ShareRead gives what is stored, be it of a server that is behind.
	ShareRead(key string, done func(ShareEntry, error))
	// ShareList gives all whose key begins with prefix and a dot.
	ShareList(prefix string, done func([]ShareEntry, error))
	// ShareWatch calls see, in order, for what is written from now on under such a key,
	// without its number, whether or not it will be stored.
	ShareWatch(prefix string, see func(ShareEntry)) (stop func(), err error)
}
