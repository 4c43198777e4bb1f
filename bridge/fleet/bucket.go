package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// callTime bounds one question to the servers.
	callTime = 3 * time.Second
	// Alive is how long a member is one after it last said so; it says so every
	// BeatEvery.
	Alive     = 16 * time.Second
	BeatEvery = 5 * time.Second
	// kept is how many publications stay readable, ackLife how long
	// acknowledgements do.
	kept    = 64
	ackLife = 30 * 24 * time.Hour
)

// The buckets as they are made. Members come and go: they are not worth a disk.
func configBucket(fleet string, replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: ConfigBucket(fleet), Description: "chive: signed configuration", History: kept,
		MaxValueSize: MaxValue, Replicas: replicas, // the history bounds it
	}
}

func ackBucket(fleet string, replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: AckBucket(fleet), Description: "chive: what nodes made of it", TTL: ackLife,
		MaxValueSize: maxAck, MaxBytes: 8 << 20, Replicas: replicas,
	}
}

func nodeBucket(fleet string, replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: NodeBucket(fleet), Description: "chive: who is there", TTL: Alive, Storage: jetstream.MemoryStorage,
		MaxValueSize: maxAck, MaxBytes: 4 << 20, Replicas: replicas,
	}
}

// maxAck is how much a node may say of itself, in bytes.
const maxAck = 16 << 10

// making opens a bucket, and makes it if there is none. One that others made otherwise
// is used as it is.
func making(ctx context.Context, js jetstream.JetStream, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	kv, err := js.KeyValue(ctx, c.Bucket)
	if err == nil {
		return kv, nil
	}
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("bucket %s: %w", c.Bucket, err)
	}
	if kv, err = js.CreateKeyValue(ctx, c); err != nil {
		if kv, late := js.KeyValue(ctx, c.Bucket); late == nil { // another was quicker
			return kv, nil
		}
		return nil, fmt.Errorf("bucket %s: %w", c.Bucket, err)
	}
	return kv, nil
}

// newest reads a key from the bucket's leader or a follower; nil, nil if there is none.
func newest(ctx context.Context, kv jetstream.KeyValue, key string) (jetstream.KeyValueEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	return e, err
}

// away: is the error one of the way to the servers, not of what was asked?
func away(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}
