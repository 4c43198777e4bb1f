package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chive/messages"
)

const (
	streamName    = "JOURNAL"
	subjectPrefix = "journal."
	storeFolder   = "jetstream" // the server makes it in the folder it is given
	dedupeWindow  = 2 * time.Minute
	readBatch     = 1000
	readBytes     = 8 << 20
	maxMessage    = 1 << 20 // what the server takes at once; records are smaller
)

// store is the stream on disk: a NATS server of its own without any way in but the
// connection held here, which writes each message to disk before it answers.
type store struct {
	said   *serverLog
	server *server.Server
	nc     *nats.Conn
	stream jetstream.Stream
	wait   time.Duration // for one answer
}

// openTime is how long the server inside the process may take to start at least: a node that
// gives up has no journal until it is started again, and a machine may be very busy.
const openTime = 30 * time.Second

// openStore opens the stream in dir, made if there is none. An error that is
// ErrJournalCorrupt means that there was one and the server cannot read it.
func openStore(dir string, size int64, wait time.Duration, log *slog.Logger) (*store, error) {
	s := &store{said: &serverLog{log: log}, wait: wait}
	had, err := hasStream(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	holdClock()
	s.server, err = server.NewServer(&server.Options{
		ServerName: "chive-journal", DontListen: true, NoSigs: true, NoLog: true, MaxConn: 2, MaxPayload: maxMessage,
		JetStream: true, StoreDir: dir, SyncAlways: true, DisableJetStreamBanner: true,
		// Reserved, not allocated; with 0 the server would size them by the machine.
		JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 2 * size,
	})
	if err != nil {
		letGoClock()
		return nil, err
	}
	s.server.SetLoggerV2(s.said, false, false, false)
	s.server.Start() // returns when it has started, or cannot
	if err := s.connect(size, had, max(wait, openTime)); err != nil {
		s.close()
		return nil, s.said.failure(err)
	}
	return s, nil
}

// connect finds or makes the stream; the server, and each step to it, may take so long.
func (s *store) connect(size int64, had bool, wait time.Duration) error {
	if s.said.dead() || !s.server.ReadyForConnections(wait) || !s.server.JetStreamEnabled() {
		return errors.New("the journal's NATS server does not start")
	}
	var err error
	s.nc, err = nats.Connect("", nats.InProcessServer(s.server), nats.Name("journal"), nats.Timeout(wait), nats.NoReconnect())
	if err != nil {
		return err
	}
	js, err := jetstream.New(s.nc, jetstream.WithDefaultTimeout(wait))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	s.stream, err = js.Stream(ctx, streamName)
	switch {
	case err == nil && s.stream.CachedInfo().Config.MaxBytes == size:
		return nil
	case errors.Is(err, jetstream.ErrStreamNotFound) && had:
		return fmt.Errorf("%w: the stream cannot be recovered", messages.ErrJournalCorrupt)
	case err != nil && !errors.Is(err, jetstream.ErrStreamNotFound):
		return err
	}
	s.stream, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subjectPrefix + "*"}, Storage: jetstream.FileStorage, Replicas: 1,
		MaxBytes: size, MaxMsgSize: maxMessage, Discard: jetstream.DiscardNew, Duplicates: dedupeWindow,
		AllowDirect: true, DenyDelete: true,
	})
	return err
}

// hasStream says whether a stream was made in dir.
func hasStream(dir string) (bool, error) {
	entries, err := os.ReadDir(filepath.Join(dir, storeFolder, "$G", "streams"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// answer is JetStream's to a message.
type answer struct {
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Error     *struct {
		Code        uint16 `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

const wrongLastSequence, storeFailed = 10071, 10077

// append writes a message after the one whose number is last, and returns its number once
// it is on disk. An id that was written shortly before gives that one's number.
func (s *store) append(aggregate string, last uint64, id string, data []byte) (uint64, error) {
	m := nats.NewMsg(subjectPrefix + aggregate)
	m.Data = data
	m.Header[nats.ExpectedLastSubjSeqHdr] = []string{strconv.FormatUint(last, 10)}
	if id != "" {
		m.Header[nats.MsgIdHdr] = []string{aggregate + "/" + id}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.wait)
	defer cancel()
	s.said.tell(cancel)
	defer s.said.tell(nil)
	reply, err := s.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, s.said.failure(fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err))
	}
	var a answer
	if err := json.Unmarshal(reply.Data, &a); err != nil {
		return 0, fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	switch {
	case a.Error == nil && a.Seq > 0:
		return a.Seq, nil
	case a.Error == nil:
		return 0, fmt.Errorf("%w: no sequence in the server's answer", messages.ErrJournalUnavailable)
	case a.Error.Code == wrongLastSequence:
		return 0, fmt.Errorf("%w: %s", messages.ErrJournalConflict, a.Error.Description)
	case a.Error.Code == storeFailed && strings.Contains(a.Error.Description, "maximum bytes"):
		return 0, messages.ErrJournalFull
	default:
		return 0, s.said.failure(fmt.Errorf("%w: %s", messages.ErrJournalUnavailable, a.Error.Description))
	}
}

// read calls f with each message from the given number on, of one aggregate or of all, "*".
// data is f's to keep.
func (s *store) read(aggregate string, from uint64, f func(number uint64, aggregate string, data []byte) error) error {
	inbox := s.nc.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone
	for more := true; more; {
		request := fmt.Sprintf(`{"seq":%d,"batch":%d,"max_bytes":%d,"next_by_subj":%q}`,
			max(from, 1), readBatch, readBytes, subjectPrefix+aggregate)
		if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+streamName, inbox, []byte(request)); err != nil {
			return fmt.Errorf("%w: %w", messages.ErrJournalUnavailable, err)
		}
		if from, more, err = s.readBatch(sub, from, f); err != nil {
			return err
		}
	}
	return nil
}

// readBatch reads one answer, which ends with a message that says how many are left.
func (s *store) readBatch(sub *nats.Subscription, from uint64, f func(uint64, string, []byte) error) (next uint64, more bool, err error) {
	next = from
	for {
		m, err := sub.NextMsg(s.wait)
		if err != nil {
			return 0, false, s.said.failure(fmt.Errorf("%w: reading: %w", messages.ErrJournalUnavailable, err))
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404": // the end of a batch; nothing from there on
			left := m.Header.Get("Nats-Num-Pending")
			return next, status == "204" && left != "" && left != "0" && next > from, nil
		default:
			return 0, false, fmt.Errorf("%w: reading: %s %s", messages.ErrJournalUnavailable, status, m.Header.Get("Description"))
		}
		number, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		if err != nil {
			return 0, false, fmt.Errorf("%w: reading: %w", messages.ErrJournalUnavailable, err)
		}
		aggregate := strings.TrimPrefix(m.Header.Get("Nats-Subject"), subjectPrefix)
		if err := f(number, aggregate, m.Data); err != nil {
			return 0, false, err
		}
		next = number + 1
	}
}

// purge drops an aggregate's messages before the given number.
func (s *store) purge(aggregate string, before uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.wait)
	defer cancel()
	err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(subjectPrefix+aggregate), jetstream.WithPurgeSequence(before))
	if err != nil {
		return fmt.Errorf("%w: dropping old events: %w", messages.ErrJournalUnavailable, err)
	}
	return nil
}

// close returns when nothing touches the files any more.
func (s *store) close() {
	if s.nc != nil {
		s.nc.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
	letGoClock()
}
