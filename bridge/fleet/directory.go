package fleet

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"chive/messages"
)

// The shared directory: one object, the parts of which belong together.
const (
	directoryObject = "microdesc" // the flavour of its consensus
	directoryMagic  = "chive directory 1\n"
	validAfter      = "Valid-After" // of the object's metadata
	maxPacked       = 16 << 20      // bytes of an object; the public network has some 4 MiB
	maxUnpacked     = 64 << 20      // bytes of its parts together
	// offerSpread keeps the nodes of a fleet, which all have a new consensus at about
	// the same time, from storing it all at once.
	offerSpread = 3 * time.Second
	// maxAhead is how far a consensus may be ahead of its time.
	maxAhead = time.Hour
	// offerTime bounds storing it.
	offerTime = 30 * time.Second
	// findTime bounds looking for it.
	findTime = 500 * time.Millisecond
	// A part is asked for so often, for so long each time.
	partTries, partTime = 3, time.Second
	// connectTime is how long a node that starts waits for its fleet.
	connectTime = 500 * time.Millisecond
)

// errPacked: an object is not what this package wrote.
var errPacked = errors.New("not a directory")

// FetchDirectory implements messages.SharedDirectory.
func (m *Member) FetchDirectory(ctx context.Context) (messages.DirectoryCopy, error) {
	if err := m.connected(ctx); err != nil {
		return messages.DirectoryCopy{}, err
	}
	info, err := m.findDirectory(ctx)
	if err != nil {
		return messages.DirectoryCopy{}, fmt.Errorf("shared directory: %w", err)
	}
	if info.Size > maxPacked {
		return messages.DirectoryCopy{}, fmt.Errorf("shared directory: %d bytes, at most %d", info.Size, maxPacked)
	}
	packed, err := m.readObject(ctx, info)
	if err != nil {
		return messages.DirectoryCopy{}, fmt.Errorf("shared directory: %w", err)
	}
	c, err := unpack(packed)
	if err != nil {
		return messages.DirectoryCopy{}, fmt.Errorf("shared directory: %w", err)
	}
	return c, nil
}

// findDirectory gives up soon: servers that have no leader yet do not answer, and
// directories can be asked.
func (m *Member) findDirectory(ctx context.Context) (*jetstream.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	store, err := m.js.ObjectStore(ctx, DirectoryBucket(m.o.Fleet))
	if err != nil {
		return nil, err
	}
	return store.GetInfo(ctx, directoryObject)
}

// readObject reads an object's parts one by one: a consumer, which a client library would
// use, takes rights and a leader that answers.
func (m *Member) readObject(ctx context.Context, info *jetstream.ObjectInfo) ([]byte, error) {
	bucket := DirectoryBucket(m.o.Fleet)
	find, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	stream, err := m.js.Stream(find, "OBJ_"+bucket)
	if err != nil {
		return nil, err
	}
	subject := jetstream.WithGetMsgSubject("$O." + bucket + ".C." + info.NUID)
	var all []byte
	for seq := uint64(1); uint64(len(all)) < info.Size; {
		part, err := readPart(ctx, stream, seq, subject)
		if err != nil {
			return nil, err
		}
		all, seq = append(all, part.Data...), part.Sequence+1
	}
	sum := sha256.Sum256(all)
	if uint64(len(all)) != info.Size || info.Digest != "SHA-256="+base64.URLEncoding.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: it was replaced meanwhile, or damaged", errPacked)
	}
	return all, nil
}

// readPart asks again when no server answers, or one that has not heard of it yet.
func readPart(ctx context.Context, stream jetstream.Stream, seq uint64, subject jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	var last error
	for range partTries {
		ask, cancel := context.WithTimeout(ctx, partTime)
		part, err := stream.GetMsg(ask, seq, subject)
		cancel()
		if err == nil {
			return part, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// connected waits a little for servers that are not there yet.
func (m *Member) connected(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(connectTime)
	defer late.Stop()
	for !m.o.Conn.IsConnected() {
		select {
		case <-tick.C:
		case <-late.C:
			return errors.New("the fleet is not there")
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ctx.Done():
			return m.ctx.Err()
		}
	}
	return nil
}

// OfferDirectory implements messages.SharedDirectory.
func (m *Member) OfferDirectory(c messages.DirectoryCopy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return
	}
	waits := m.offer != nil
	m.offer = &c
	if waits {
		return
	}
	m.begin("shared directory", func() {
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(rand.N(offerSpread)):
		}
		m.mu.Lock()
		c := *m.offer
		m.offer = nil
		m.mu.Unlock()
		if err := m.deposit(c); err != nil {
			m.o.Log.Debug("the directory could not be left for others", "err", err)
		}
	})
}

// deposit stores a copy, unless there is one that is as new. What claims to be of the
// future is no reason.
func (m *Member) deposit(c messages.DirectoryCopy) error {
	ctx, cancel := context.WithTimeout(m.ctx, offerTime)
	defer cancel()
	store, err := m.js.ObjectStore(ctx, DirectoryBucket(m.o.Fleet))
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		store, err = m.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: DirectoryBucket(m.o.Fleet), Description: "chive: the network's directory", MaxBytes: 2*maxPacked + 1<<20, Replicas: m.o.Replicas,
		})
	}
	if err != nil {
		return err
	}
	if info, err := store.GetInfo(ctx, directoryObject); err == nil {
		if have, err := time.Parse(time.RFC3339, info.Metadata[validAfter]); err == nil && !have.Before(c.ValidAfter) && have.Before(m.o.Now().Add(maxAhead)) {
			return nil
		}
	}
	packed, err := pack(c)
	if err != nil {
		return err
	}
	_, err = store.Put(ctx, jetstream.ObjectMeta{
		Name: directoryObject, Metadata: map[string]string{validAfter: c.ValidAfter.UTC().Format(time.RFC3339)},
	}, bytes.NewReader(packed))
	return err
}

// pack puts the parts into one text.
func pack(c messages.DirectoryCopy) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(directoryMagic)
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	for _, part := range [][]byte{c.Consensus, c.Certs, c.Microdescs} {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		if _, err := z.Write(append(size[:], part...)); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if out.Len() > maxPacked {
		return nil, fmt.Errorf("%d bytes, at most %d", out.Len(), maxPacked)
	}
	return out.Bytes(), nil
}

// unpack takes it apart, with nothing believed: sizes are capped before anything is
// read.
func unpack(packed []byte) (c messages.DirectoryCopy, err error) {
	rest, ok := bytes.CutPrefix(packed, []byte(directoryMagic))
	if !ok {
		return c, errPacked
	}
	z, err := gzip.NewReader(bytes.NewReader(rest))
	if err != nil {
		return c, fmt.Errorf("%w: %w", errPacked, err)
	}
	left := uint32(maxUnpacked)
	for _, part := range []*[]byte{&c.Consensus, &c.Certs, &c.Microdescs} {
		var size [4]byte
		if _, err := io.ReadFull(z, size[:]); err != nil {
			return messages.DirectoryCopy{}, fmt.Errorf("%w: %w", errPacked, err)
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > left {
			return messages.DirectoryCopy{}, fmt.Errorf("%w: more than %d bytes", errPacked, maxUnpacked)
		}
		left -= n
		// What is claimed may not be there: memory grows with what is.
		text, err := io.ReadAll(io.LimitReader(z, int64(n)))
		if err != nil || uint32(len(text)) != n {
			return messages.DirectoryCopy{}, fmt.Errorf("%w: cut short", errPacked)
		}
		*part = text
	}
	if n, err := z.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return messages.DirectoryCopy{}, fmt.Errorf("%w: more than its parts", errPacked)
	}
	return c, nil
}
