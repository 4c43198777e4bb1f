package conflux

import (
	"encoding/binary"

	"chive/tor/cell"
)

// Message is a relay message of a stream.
type Message struct {
	Command cell.RelayCommand
	Stream  cell.StreamID
	Data    []byte
}

// chunkSize is what memory for waiting messages is taken in, in bytes: several cells'
// worth, so that taking it costs little.
const chunkSize = 16 << 10

// entryLen is what stands before a waiting message's data: sequence number, command,
// stream, length.
const entryLen = 8 + 1 + 2 + 2

type chunk struct {
	next     *chunk
	from, to int
	buf      [chunkSize]byte
}

// store is the memory of a set's queues, in chunks. One that is free is kept.
type store struct {
	free *chunk
	out  int // chunks, with the free one
	most int
}

// used is how many chunks messages are in.
func (s *store) used() int {
	if s.free != nil {
		return s.out - 1
	}
	return s.out
}

// take gives an empty chunk; nil if there are too many.
func (s *store) take() *chunk {
	if c := s.free; c != nil {
		s.free = nil
		return c
	}
	if s.out == s.most {
		return nil
	}
	s.out++
	return &chunk{}
}

func (s *store) give(c *chunk) {
	if s.free != nil {
		s.out--
		return
	}
	c.next, c.from, c.to = nil, 0, 0
	s.free = c
}

// queue is the messages of one leg that wait, first come first.
type queue struct{ first, last *chunk }

// push copies a message to the end; false if there is no memory for it. The data is at
// most a cell's.
func (q *queue) push(s *store, seq uint64, m Message) bool {
	n := entryLen + len(m.Data)
	if q.last == nil || chunkSize-q.last.to < n {
		c := s.take()
		if c == nil {
			return false
		}
		if q.last == nil {
			q.first = c
		} else {
			q.last.next = c
		}
		q.last = c
	}
	c := q.last
	at := c.buf[c.to : c.to+n]
	binary.BigEndian.PutUint64(at, seq)
	at[8] = byte(m.Command)
	binary.BigEndian.PutUint16(at[9:], uint16(m.Stream))
	binary.BigEndian.PutUint16(at[11:], uint16(len(m.Data)))
	copy(at[entryLen:], m.Data)
	c.to += n
	return true
}

// head is the sequence number of the first message; 0 if there is none, as numbers
// count from 1.
func (q *queue) head() uint64 {
	if q.first == nil {
		return 0
	}
	return binary.BigEndian.Uint64(q.first.buf[q.first.from:])
}

// pop takes the first message of a queue that has one. Its data is good until the next
// push to a queue of the store.
func (q *queue) pop(s *store) Message {
	c := q.first
	at := c.buf[c.from:]
	n := entryLen + int(binary.BigEndian.Uint16(at[11:]))
	m := Message{cell.RelayCommand(at[8]), cell.StreamID(binary.BigEndian.Uint16(at[9:])), at[entryLen:n:n]}
	if c.from += n; c.from == c.to {
		if q.first = c.next; q.first == nil {
			q.last = nil
		}
		s.give(c)
	}
	return m
}

func (q *queue) drop(s *store) {
	for c := q.first; c != nil; {
		next := c.next
		s.give(c)
		c = next
	}
	*q = queue{}
}
