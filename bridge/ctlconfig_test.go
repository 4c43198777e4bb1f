package bridge

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"chive/messages"
)

// desk answers and writes down what it was asked.
type desk struct {
	mu    sync.Mutex
	asked []any
}

func (d *desk) note(v any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, v)
}

func (d *desk) ProposeConfig(_ context.Context, p messages.ConfigProposal) (messages.ConfigResult, error) {
	d.note(p)
	if p.Replace {
		return messages.ConfigResult{}, errors.New("whether the change was made is not known")
	}
	return messages.ConfigResult{Revision: 7, Reason: "LogLevel: no"}, nil
}

func (d *desk) RevertConfig(_ context.Context, r messages.ConfigRevert) (messages.ConfigResult, error) {
	d.note(r)
	return messages.ConfigResult{Revision: 8, Applied: true}, nil
}

func (d *desk) ConfigView(context.Context) (messages.ConfigView, error) {
	return messages.ConfigView{Revision: 3, Settings: []messages.ConfigSetting{{Option: "LogLevel", Values: []string{"debug"}, Origin: "file", Class: "hot"}}}, nil
}

func (d *desk) ConfigHistory(context.Context) ([]messages.ConfigRevision, error) {
	return []messages.ConfigRevision{{Revision: 1, Time: time.Unix(1_800_000_000, 0).UTC(), Source: messages.ConfigFromStart}}, nil
}

func (d *desk) ConfigDiff(_ context.Context, from, to uint64) ([]messages.ConfigChange, error) {
	d.note(DiffRequest{from, to})
	return []messages.ConfigChange{{Option: "LogLevel", New: "debug", Effect: "hot"}}, nil
}

func configured(t *testing.T, o Options) (*desk, *Bridge) {
	t.Helper()
	o.Fleet, o.Version, o.Log = "local", "1", slog.New(slog.DiscardHandler)
	o.Recorder = messages.NewRecorder("node", time.Now, 64)
	b, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	d := &desk{}
	if err := b.ServeConfig(d); err != nil {
		t.Fatal(err)
	}
	return d, b
}

// What goes in at the command line's end is what comes out at the node's.
func TestConfigOverTheControlSocket(t *testing.T) {
	dir := t.TempDir()
	d, _ := configured(t, Options{DataDir: dir})
	c, err := Connect(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := messages.ConfigProposal{
		Source: messages.ConfigFromControl, DryRun: true,
		Lines: []messages.ConfigLine{{Name: "LogLevel", Value: "debug"}, {Name: "SocksTimeout", Reset: true}},
	}
	if r, err := c.ProposeConfig(t.Context(), p); err != nil || r.Revision != 7 || r.Applied || r.Reason != "LogLevel: no" {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := c.RevertConfig(t.Context(), messages.ConfigRevert{Revision: 5, Services: true, DryRun: true}); err != nil || r.Revision != 8 || !r.Applied {
		t.Errorf("%+v %v", r, err)
	}
	if v, err := c.ConfigView(t.Context()); err != nil || v.Settings[0].Values[0] != "debug" {
		t.Errorf("%+v %v", v, err)
	}
	if h, err := c.ConfigHistory(t.Context()); err != nil || len(h) != 1 || h[0].Time.Unix() != 1_800_000_000 {
		t.Errorf("%+v %v", h, err)
	}
	if diff, err := c.ConfigDiff(t.Context(), 1, 2); err != nil || len(diff) != 1 {
		t.Errorf("%+v %v", diff, err)
	}
	for _, source := range []messages.ConfigSource{messages.ConfigFromSignal, messages.ConfigFromReload} {
		if _, err := c.ProposeConfig(t.Context(), messages.ConfigProposal{Source: source}); err != nil {
			t.Error(err)
		}
	}
	again := messages.ConfigProposal{Source: messages.ConfigFromReload}
	if diff := cmp.Diff([]any{p, messages.ConfigRevert{Revision: 5, Services: true, DryRun: true}, DiffRequest{1, 2}, again, again}, d.asked); diff != "" {
		t.Error(diff)
	}
	if _, err := c.ProposeConfig(t.Context(), messages.ConfigProposal{Source: messages.ConfigFromControl, Replace: true}); err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("err %v", err)
	}
}

// Nobody speaks for the fleet, or for the files, through this mouth; what would be
// read by nobody is refused.
func TestConfigRequestsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	d, _ := configured(t, Options{DataDir: dir})
	c, err := Connect(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for request, want := range map[string]string{
		`{"source":"fleet","fleet_revision":9}`: `source "fleet"`,
		`{"source":"file"}`:                     `source "file"`,
		`{}`:                                    `source ""`,
		`{"source":"control","lnes":[]}`:        "unknown field",
		`{"source":"control"} {}`:               "more than one value",
		`{"source":`:                            "unexpected EOF",
		``:                                      "EOF",
		`{"source":"control","author":"` + strings.Repeat("x", maxProposal) + `"}`: "at most",
	} {
		_, err := c.Request(t.Context(), verbPropose, []byte(request))
		if r := (*Refusal)(nil); !errors.As(err, &r) || r.Verb != verbPropose || !strings.Contains(r.Reason, want) {
			t.Errorf("%.40s: %v, want %s", request, err, want)
		}
	}
	if len(d.asked) > 0 {
		t.Errorf("the node was asked: %v", d.asked)
	}
}

// An observer's credential neither changes nor reads the configuration.
func TestObserversHaveNoConfiguration(t *testing.T) {
	dir := t.TempDir()
	credential := dir + "/observer.nk"
	d, b := configured(t, Options{DataDir: dir, Listen: "127.0.0.1:0", CredentialFile: credential})
	opt, err := nats.NkeyOptionFromSeed(credential)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan string, 8)
	nc, err := nats.Connect(b.ClientURL(), opt, nats.Timeout(patience), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, verb := range configVerbs {
		if err := nc.PublishRequest(messages.ControlSubject("local", "node", verb), nc.NewRespInbox(), []byte(`{"source":"control"}`)); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-refused:
			if !strings.Contains(strings.ToLower(text), "permissions violation") {
				t.Errorf("%s: %s", verb, text)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s was not refused", verb)
		}
	}
	if len(d.asked) > 0 {
		t.Errorf("the node was asked: %v", d.asked)
	}
}
