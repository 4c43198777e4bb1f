package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/consdiff"
	"chive/tor/dirproto"
	"chive/tor/netdoc"
)

const (
	// fetchTime bounds one request with everything, headers included, so that
	// a directory cannot hold us by dripping.
	fetchTime = 60 * time.Second
	// shunTime is how long a source that failed is not asked again, while
	// there is another.
	shunTime = 10 * time.Minute
)

// errStatus is an answer that is not 200; errNotFound is one that is 404.
var (
	errStatus   = errors.New("directory answered with status")
	errNotFound = fmt.Errorf("%w 404", errStatus)
)

// source chooses whom to ask: the first directory guard, else a fallback, else an
// authority; if it can be, none of those in not.
func (w *worker) source(not ...netdoc.Digest) Target {
	var guards []Target
	if w.o.Guards != nil {
		guards = w.o.Guards()
	}
	for _, avoid := range [][]netdoc.Digest{not, nil} {
		if good := w.good(guards, avoid); len(good) > 0 {
			return good[0]
		}
		for _, l := range [][]Target{w.o.Fallbacks, w.o.Authorities} {
			if good := w.good(l, avoid); len(good) > 0 {
				return good[w.o.Rand.IntN(len(good))]
			}
		}
	}
	clear(w.shunned) // every one failed: likelier the network than all of them
	last := w.o.Authorities
	if len(last) == 0 {
		last = w.o.Fallbacks
	}
	return last[w.o.Rand.IntN(len(last))]
}

// good are those of a list that may be asked now, and are not to be avoided.
func (w *worker) good(list []Target, avoid []netdoc.Digest) []Target {
	return slices.DeleteFunc(slices.Clone(list), func(t Target) bool {
		return w.o.Now().Before(w.shunned[t.Identity]) || slices.Contains(avoid, t.Identity)
	})
}

func (w *worker) shun(t Target) { w.shunned[t.Identity] = w.o.Now().Add(shunTime) }

// shunFor shuns a source for an error, unless nobody was asked.
func (w *worker) shunFor(t Target, err error) {
	if !nobodyAsked(err) {
		w.shun(t)
	}
}

// nobodyAsked: the proxy on the way to all of them failed, or this machine.
func nobodyAsked(err error) bool {
	switch documentOutcome(err) {
	case chivev1.Outcome_OUTCOME_PROXY_FAILED, chivev1.Outcome_OUTCOME_MACHINE_FAILED:
		return true
	}
	return false
}

// get makes one request.
func (w *worker) get(ctx context.Context, t Target, r dirproto.Request) (*dirproto.Response, error) {
	w.o.Limits.Fetches().Spend(1, ctx.Done())
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	conn, err := w.o.Dialer.DialDir(ctx, t)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(r.Append(nil)); err != nil {
		return nil, fmt.Errorf("directory request: %w", errors.Join(ctx.Err(), err))
	}
	res, err := dirproto.ReadResponse(conn, dirproto.DefaultLimits)
	if err != nil {
		return nil, errors.Join(ctx.Err(), err) // when the time is over, that is why
	}
	if res.Status == 404 {
		return nil, errNotFound
	}
	if res.Status != 200 && res.Status != 304 {
		return nil, fmt.Errorf("%w %d", errStatus, res.Status)
	}
	return res, nil
}

func (w *worker) fetched(kind chivev1.DocumentKind, bytes int, took time.Duration, cached bool) {
	w.o.Recorder.Emit(messages.Event(chivev1.Kind_KIND_DIRECTORY, "directory", &chivev1.DocumentFetched{
		Kind: kind, Bytes: uint64(bytes), Took: messages.Took(took), Cached: cached,
	}))
}

func timestamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

// documentOutcome names why a document was not had.
func documentOutcome(err error) chivev1.Outcome {
	var refused *DialError
	switch {
	case errors.As(err, &refused):
		return refused.Outcome
	case errors.Is(err, context.DeadlineExceeded):
		return chivev1.Outcome_OUTCOME_TIMEOUT
	case errors.Is(err, context.Canceled):
		return chivev1.Outcome_OUTCOME_SHUTDOWN
	case errors.Is(err, errStatus):
		return chivev1.Outcome_OUTCOME_DIRECTORY_STATUS
	case errors.Is(err, dirproto.ErrTooLarge), errors.Is(err, dirproto.ErrBomb), errors.Is(err, netdoc.ErrTooLarge),
		errors.Is(err, consdiff.ErrTooLarge):
		return chivev1.Outcome_OUTCOME_DOCUMENT_TOO_LARGE
	case errors.Is(err, netdoc.ErrTooFewSignatures), errors.Is(err, netdoc.ErrNoAuthorities):
		return chivev1.Outcome_OUTCOME_DOCUMENT_UNTRUSTED
	case errors.Is(err, netdoc.ErrExpired), errors.Is(err, netdoc.ErrNotYetValid):
		return chivev1.Outcome_OUTCOME_DOCUMENT_STALE
	case errors.Is(err, syscall.ENOSPC):
		return chivev1.Outcome_OUTCOME_STORAGE
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return chivev1.Outcome_OUTCOME_CONNECTION_LOST
	default:
		return chivev1.Outcome_OUTCOME_DOCUMENT_INVALID
	}
}

// DialError is what a Dialer returns when there is no stream.
type DialError struct{ Outcome chivev1.Outcome }

func (e *DialError) Error() string { return "no directory stream: " + messages.OutcomeName(e.Outcome) }
