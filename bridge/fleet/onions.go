package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chive/messages"
)

const (
	// MaxShared bounds a value, maxShares all of them, in bytes.
	MaxShared = 16 << 10
	maxShares = 16 << 20
	// shareLife is how long entries stay that nobody writes again.
	shareLife = 24 * time.Hour
	// shareTime bounds one question. A lease lasts little longer.
	shareTime = 2500 * time.Millisecond
	// maxListed is how many entries of one service are read.
	maxListed = 128
)

// LeaseToken and NodeToken are the second parts of keys: <service>.lease and
// <service>.node.<node>. The first is for all nodes to write.
const (
	LeaseToken = "lease"
	NodeToken  = "node"
)

func onionBucket(fleet string, replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: OnionBucket(fleet), Description: "chive: onion services that nodes share, sealed", TTL: shareLife,
		MaxValueSize: MaxShared, MaxBytes: maxShares, Replicas: replicas,
	}
}

// errAway: nothing was sent.
var errAway = errors.New("the fleet's servers are away")

// shareStream is the bucket's stream; it is made if there is none.
func (m *Member) shareStream(ctx context.Context) (jetstream.Stream, error) {
	m.mu.Lock()
	s := m.shares
	m.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if _, err := making(ctx, m.js, onionBucket(m.o.Fleet, m.o.Replicas)); err != nil {
		return nil, err
	}
	s, err := m.js.Stream(ctx, "KV_"+OnionBucket(m.o.Fleet))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.shares = s
	m.mu.Unlock()
	return s, nil
}

// lostShares has the bucket looked for, and made, again.
func (m *Member) lostShares(err error) {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		m.mu.Lock()
		m.shares = nil
		m.mu.Unlock()
	}
}

func (m *Member) shareSubject(key string) string { return "$KV." + OnionBucket(m.o.Fleet) + "." + key }

// share asks the bucket from a goroutine of its own. What takes part no more asks nothing.
func (m *Member) share(ask func(context.Context, jetstream.Stream) error, failed func(error)) {
	m.mu.Lock()
	left := m.left
	if !left {
		m.work.Add(1)
	}
	m.mu.Unlock()
	if left {
		return
	}
	m.begun("shared onion services", func() {
		if !m.o.Conn.IsConnected() {
			failed(errAway)
			return
		}
		ctx, cancel := context.WithTimeout(m.ctx, m.shareTime)
		defer cancel()
		s, err := m.shareStream(ctx)
		if err == nil {
			err = ask(ctx, s)
		}
		if err != nil {
			m.lostShares(err)
			failed(err)
		}
	})
}

// ShareWrite implements messages.SharePort.
func (m *Member) ShareWrite(key string, value []byte, expect uint64, done func(uint64, error)) {
	m.share(func(ctx context.Context, _ jetstream.Stream) error {
		a, err := m.js.PublishMsg(ctx, &nats.Msg{
			Subject: m.shareSubject(key), Data: value,
			Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(expect, 10)}},
		}, jetstream.WithRetryAttempts(0))
		var api *jetstream.APIError
		switch {
		case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
			return messages.ErrShareConflict
		case err != nil:
			return err
		}
		done(a.Sequence, nil)
		return nil
	}, func(err error) { done(0, err) })
}

// SharePut implements messages.SharePort. What cannot be sent now is of no use later.
func (m *Member) SharePut(key string, value []byte) {
	msg := &nats.Msg{Subject: m.shareSubject(key), Data: value}
	if value == nil {
		msg.Header = nats.Header{operationHeader: {operationDelete}}
	}
	if m.o.Conn.IsConnected() {
		_ = m.o.Conn.PublishMsg(msg) // the next one comes soon
	}
}

// How buckets say that a key is deleted.
const (
	operationHeader = "KV-Operation"
	operationDelete = "DEL"
	operationPurge  = "PURGE"
)

// shared reads a message of the bucket.
func (m *Member) shared(subject string, h nats.Header, data []byte, number uint64) messages.ShareEntry {
	e := messages.ShareEntry{Key: strings.TrimPrefix(subject, m.shareSubject("")), Value: data, Number: number}
	if op := h.Get(operationHeader); op == operationDelete || op == operationPurge || len(data) > MaxShared {
		e.Value = nil
	}
	return e
}

func (m *Member) shareGet(ctx context.Context, s jetstream.Stream, key string) (messages.ShareEntry, error) {
	msg, err := s.GetLastMsgForSubject(ctx, m.shareSubject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return messages.ShareEntry{Key: key}, nil
	}
	if err != nil {
		return messages.ShareEntry{}, fmt.Errorf("%s: %w", OnionBucket(m.o.Fleet), err)
	}
	return m.shared(msg.Subject, msg.Header, msg.Data, msg.Sequence), nil
}

// ShareRead implements messages.SharePort.
func (m *Member) ShareRead(key string, done func(messages.ShareEntry, error)) {
	m.share(func(ctx context.Context, s jetstream.Stream) error {
		e, err := m.shareGet(ctx, s, key)
		if err == nil {
			done(e, nil)
		}
		return err
	}, func(err error) { done(messages.ShareEntry{}, err) })
}

// ShareList implements messages.SharePort.
func (m *Member) ShareList(prefix string, done func([]messages.ShareEntry, error)) {
	m.share(func(ctx context.Context, s jetstream.Stream) error {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(m.shareSubject(prefix+".>")))
		if err != nil {
			return err
		}
		var out []messages.ShareEntry
		for subject := range info.State.Subjects {
			if len(out) == maxListed {
				break
			}
			e, err := m.shareGet(ctx, s, strings.TrimPrefix(subject, m.shareSubject("")))
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		done(out, nil)
		return nil
	}, func(err error) { done(nil, err) })
}

// ShareWatch implements messages.SharePort.
func (m *Member) ShareWatch(prefix string, see func(messages.ShareEntry)) (func(), error) {
	sub, err := m.o.Conn.Subscribe(m.shareSubject(prefix+".>"), func(msg *nats.Msg) {
		see(m.shared(msg.Subject, msg.Header, msg.Data, 0))
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil // fails when the connection has closed
}
