package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chive/messages"
)

// What those who run a fleet are told.
var (
	// ErrNoFleet: no node has made the fleet's buckets yet.
	ErrNoFleet = errors.New("no node of this fleet has been here: start one, with FleetConfigKey set. One that runs says in its log why it could store nothing; fewer servers than FleetReplicas may be why")
	// ErrNoMajority: the servers can neither be asked nor told.
	ErrNoMajority = errors.New("the fleet's NATS servers have no majority, or the one that holds this is away: nothing is stored until it is back (docs/fleet.md)")
	// ErrUnshared: nobody keeps anything for a fleet there.
	ErrUnshared = errors.New("no fleet is kept there: the node shares no NATS servers with others; NatsUrl, or NatsClusterListen, has it share some (docs/fleet.md)")
	// ErrNothing: nothing was published yet.
	ErrNothing = errors.New("no configuration was published yet")
	// ErrConflict: another published first.
	ErrConflict = errors.New("somebody else has published a configuration meanwhile: look at it and try again")
)

// Client is the way of those who run a fleet.
type Client struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	fleet string
}

// NewClient uses a connection of a node's account, which stays its owner's.
func NewClient(nc *nats.Conn, fleet string) (*Client, error) {
	js, err := jetstream.New(nc)
	return &Client{nc, js, fleet}, err
}

// NewRoleClient uses a connection with the credential of a role.
func NewRoleClient(nc *nats.Conn, fleet string) (*Client, error) {
	js, err := jetstream.NewWithAPIPrefix(nc, RolePrefix)
	return &Client{nc, js, fleet}, err
}

// Fleet is its name.
func (c *Client) Fleet() string { return c.fleet }

// Published is a publication as it was read from the bucket.
type Published struct {
	Number   uint64                 `json:"publication"`
	Stored   time.Time              `json:"stored"`
	Author   string                 `json:"author"`
	Document messages.FleetDocument `json:"document"`
	Value    []byte                 `json:"-"`
}

func (c *Client) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	kv, err := c.js.KeyValue(limited, name)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return nil, ErrNoFleet
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		if c.headless(ctx) {
			return nil, fmt.Errorf("%s: %w", name, ErrNoMajority)
		}
		return nil, unread(name, err)
	}
	return kv, nil
}

// Config is the last publication; ErrNothing if there is none. A value that is not a
// signed configuration is an error that matches Verify's; its Number is set.
func (c *Client) Config(ctx context.Context) (Published, error) {
	kv, err := c.bucket(ctx, ConfigBucket(c.fleet))
	if err != nil {
		return Published{}, err
	}
	e, err := newest(ctx, kv, ConfigKey)
	if err != nil {
		return Published{}, err
	}
	if e == nil {
		return Published{}, ErrNothing
	}
	return published(e)
}

func published(e jetstream.KeyValueEntry) (Published, error) {
	p := Published{Number: e.Revision(), Stored: e.Created(), Value: e.Value()}
	envelope, d, err := Open(e.Value())
	p.Author, p.Document = envelope.Key, d
	return p, err
}

// At is an earlier publication, if the bucket has it still.
func (c *Client) At(ctx context.Context, number uint64) (Published, error) {
	kv, err := c.bucket(ctx, ConfigBucket(c.fleet))
	if err != nil {
		return Published{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	e, err := kv.GetRevision(ctx, ConfigKey, number)
	if err != nil {
		return Published{}, fmt.Errorf("publication %d: %w", number, err)
	}
	return published(e)
}

// Publish stores a signed value behind the publication that its author has seen; 0: the
// first. It returns the new one's number.
func (c *Client) Publish(ctx context.Context, value []byte, after uint64) (uint64, error) {
	if _, err := c.bucket(ctx, ConfigBucket(c.fleet)); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	m := &nats.Msg{
		Subject: "$KV." + ConfigBucket(c.fleet) + "." + ConfigKey, Data: value,
		Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(after, 10)}},
	}
	a, err := c.js.PublishMsg(limited, m)
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return 0, ErrConflict
	case err != nil:
		if c.headless(ctx) {
			return 0, fmt.Errorf("publish: %w", ErrNoMajority)
		}
		return 0, fmt.Errorf("publish: %w (may this credential publish a configuration?)", err)
	}
	return a.Sequence, nil
}

// keys lists the keys of a bucket that match a filter, without a consumer.
func (c *Client) keys(ctx context.Context, bucket, filter string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	s, err := c.js.Stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoFleet
	}
	if err != nil {
		return nil, unread(bucket, err)
	}
	prefix := "$KV." + bucket + "."
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(prefix+filter))
	if err != nil {
		return nil, err
	}
	var out []string
	for subject := range info.State.Subjects {
		out = append(out, strings.TrimPrefix(subject, prefix))
	}
	slices.Sort(out)
	return out, nil
}

// Seen is a member, and when the servers heard of it.
type Seen struct {
	messages.FleetMember
	Heard time.Time     `json:"heard"` // by the servers' clock
	Skew  time.Duration `json:"skew"`  // how far the node's clock is ahead of the servers'
}

// unread says why a bucket cannot be read.
func unread(bucket string, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrUnshared
	case errors.As(err, &api) && (api.ErrorCode == codeNoLeader || api.ErrorCode == codeOffline):
		return fmt.Errorf("%s: %w", bucket, ErrNoMajority)
	case errors.Is(err, context.DeadlineExceeded): // a server says nothing to who may not ask
		return fmt.Errorf("%s could not be read: the role of this credential may not (nats.creds may read neither configuration nor acknowledgements), or the servers have no majority", bucket)
	}
	return fmt.Errorf("%s: %w (may this credential read it, and are a majority of the servers there?)", bucket, err)
}

// What servers of a cluster say who follow none, or of a bucket that another one holds
// (nats-server's JSClusterNotAvailErr and JSStreamOfflineErr).
const (
	codeNoLeader = 10008
	codeOffline  = 10118
)

// Members lists who is there, by name.
func (c *Client) Members(ctx context.Context) ([]Seen, error) {
	return all(ctx, c, NodeBucket(c.fleet), "*", func(e jetstream.KeyValueEntry) (s Seen, err error) {
		err = json.Unmarshal(e.Value(), &s.FleetMember)
		s.Heard, s.Skew = e.Created(), s.Time.Sub(e.Created())
		return s, err
	}, func(a, b Seen) int { return cmp.Compare(a.Node, b.Node) })
}

// Acks lists what nodes made of a publication, by name.
func (c *Client) Acks(ctx context.Context, publication uint64) ([]messages.FleetAck, error) {
	return all(ctx, c, AckBucket(c.fleet), strconv.FormatUint(publication, 10)+".*", func(e jetstream.KeyValueEntry) (a messages.FleetAck, err error) {
		err = json.Unmarshal(e.Value(), &a)
		return a, err
	}, func(a, b messages.FleetAck) int { return cmp.Compare(a.Node, b.Node) })
}

// all reads the entries of a bucket; those that end meanwhile are left out.
func all[T any](ctx context.Context, c *Client, bucket, filter string, read func(jetstream.KeyValueEntry) (T, error), by func(a, b T) int) (out []T, err error) {
	keys, err := c.keys(ctx, bucket, filter)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	kv, err := c.bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		e, err := newest(ctx, kv, key)
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", key, bucket, err)
		}
		if e == nil {
			continue
		}
		t, err := read(e)
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", key, bucket, err)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, by)
	return out, nil
}

// FollowAcks calls see, from one goroutine, for every acknowledgement from now on.
func (c *Client) FollowAcks(see func(messages.FleetAck)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(messages.AckSubject(c.fleet, "*", "*"), func(m *nats.Msg) {
		var a messages.FleetAck
		if json.Unmarshal(m.Data, &a) == nil {
			see(a)
		}
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, c.nc.FlushTimeout(callTime)
}
