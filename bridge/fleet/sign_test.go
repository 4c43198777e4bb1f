package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"chive/internal/leak"
	"chive/messages"
)

// A NATS server that is shut down while it makes a stream leaves that stream's store behind.
func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	leak.Main(m, goleak.IgnoreTopFunction(server+".(*fileStore).flushStreamStateLoop"), goleak.IgnoreTopFunction(server+"/ats.Register.func1"))
}

var signed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newKey(t testing.TB) (seed []byte, public string) {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if seed, err = user.Seed(); err != nil {
		t.Fatal(err)
	}
	if public, err = user.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return seed, public
}

func document(change func(*messages.FleetDocument)) messages.FleetDocument {
	d := messages.FleetDocument{
		Fleet: "f", Revision: 3, Time: signed, Expires: signed.Add(time.Hour),
		Lines: []messages.ConfigLine{{Name: "MaxCircuitDirtiness", Value: "5 minutes"}},
	}
	if change != nil {
		change(&d)
	}
	return d
}

func TestSignedIsBelieved(t *testing.T) {
	seed, public := newKey(t)
	value, err := Sign(append(seed, '\n'), document(func(d *messages.FleetDocument) {
		d.Nodes, d.Trial, d.Note = []string{"n1"}, &messages.FleetTrial{Seconds: 5, Circuits: 2, Success: 0.5}, "why"
	}))
	if err != nil {
		t.Fatal(err)
	}
	d, author, err := Verify(value, "f", []string{"other", public}, signed)
	if err != nil || author != public || d.Revision != 3 || len(d.Lines) != 1 || d.Trial.Circuits != 2 || d.Note != "why" {
		t.Errorf("%+v by %s, %v", d, author, err)
	}
	e, _, err := Open(value)
	if err != nil || len(Digest(e)) != 64 {
		t.Errorf("digest %s, %v", Digest(e), err)
	}
}

// Each way to be wrong has an error of its own.
func TestNotBelieved(t *testing.T) {
	seed, public := newKey(t)
	stranger, _ := newKey(t)
	good := func(change func(*messages.FleetDocument)) []byte {
		value, err := Sign(seed, document(change))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	altered := func(change func(*messages.FleetEnvelope)) []byte {
		var e messages.FleetEnvelope
		if err := json.Unmarshal(good(nil), &e); err != nil {
			t.Fatal(err)
		}
		change(&e)
		value, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	foreign, err := Sign(stranger, document(nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value []byte
		now   time.Time
		want  error
	}{
		"nothing":             {nil, signed, ErrMalformed},
		"not JSON":            {[]byte("MaxCircuitDirtiness 5"), signed, ErrMalformed},
		"another field":       {[]byte(`{"document":"{}","key":"U","signature":"x","more":1}`), signed, ErrMalformed},
		"two values":          {append(good(nil), good(nil)...), signed, ErrMalformed},
		"too large":           {bytes.Repeat([]byte(" "), MaxValue+1), signed, ErrMalformed},
		"unsigned":            {altered(func(e *messages.FleetEnvelope) { e.Signature = "" }), signed, ErrUnsigned},
		"no key":              {altered(func(e *messages.FleetEnvelope) { e.Key = "" }), signed, ErrUnsigned},
		"a bad key":           {altered(func(e *messages.FleetEnvelope) { e.Key = "UABC" }), signed, ErrMalformed},
		"not base64":          {altered(func(e *messages.FleetEnvelope) { e.Signature = "?" }), signed, ErrMalformed},
		"a short signature":   {altered(func(e *messages.FleetEnvelope) { e.Signature = "AAAA" }), signed, ErrForged},
		"another text":        {altered(func(e *messages.FleetEnvelope) { e.Document = strings.Replace(e.Document, "5 min", "9 min", 1) }), signed, ErrForged},
		"a stranger's":        {foreign, signed, ErrStranger},
		"another fleet's":     {good(func(d *messages.FleetDocument) { d.Fleet = "g" }), signed, ErrOther},
		"expired":             {good(nil), signed.Add(time.Hour), ErrExpired},
		"from the future":     {good(nil), signed.Add(-11 * time.Minute), ErrEarly},
		"a little clock skew": {good(nil), signed.Add(-9 * time.Minute), nil},
	} {
		if _, _, err := Verify(c.value, "f", []string{public}, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, _, err := Verify(good(nil), "f", nil, signed); !errors.Is(err, ErrStranger) {
		t.Errorf("without keys: %v", err)
	}
}

func TestNotSigned(t *testing.T) {
	seed, _ := newKey(t)
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountSeed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	trial := func(c messages.FleetTrial) func(*messages.FleetDocument) {
		return func(d *messages.FleetDocument) { d.Trial = &c }
	}
	for name, c := range map[string]struct {
		seed   []byte
		change func(*messages.FleetDocument)
		want   string
	}{
		"an account's key": {accountSeed, nil, "SU"},
		"no key":           {[]byte("x"), nil, "not the seed"},
		"no fleet":         {seed, func(d *messages.FleetDocument) { d.Fleet = "" }, "no fleet"},
		"no revision":      {seed, func(d *messages.FleetDocument) { d.Revision = 0 }, "from 1"},
		"no time":          {seed, func(d *messages.FleetDocument) { d.Time = time.Time{} }, "time and expires"},
		"backwards":        {seed, func(d *messages.FleetDocument) { d.Expires = d.Time }, "before it begins"},
		"many lines":       {seed, func(d *messages.FleetDocument) { d.Lines = make([]messages.ConfigLine, maxLines+1) }, "lines"},
		"many nodes":       {seed, func(d *messages.FleetDocument) { d.Nodes = make([]string, maxNodes+1) }, "nodes"},
		"a node twice":     {seed, func(d *messages.FleetDocument) { d.Nodes = []string{"a", "a"} }, "twice"},
		"a long note":      {seed, func(d *messages.FleetDocument) { d.Note = strings.Repeat("x", maxText+1) }, "note"},
		"a reset":          {seed, func(d *messages.FleetDocument) { d.Lines[0].Reset = true }, "leave out"},
		"no seconds":       {seed, trial(messages.FleetTrial{Circuits: 1}), "seconds"},
		"no circuits":      {seed, trial(messages.FleetTrial{Seconds: 1}), "circuits"},
		"a share of 2":     {seed, trial(messages.FleetTrial{Seconds: 1, Circuits: 1, Success: 2}), "share"},
		"slow":             {seed, trial(messages.FleetTrial{Seconds: 1, Circuits: 1, BuildTime: -1}), "build_seconds"},
		"never confirmed":  {seed, trial(messages.FleetTrial{Seconds: 1, Circuits: 1, ConfirmFor: -1}), "confirm_seconds"},
		"too large":        {seed, func(d *messages.FleetDocument) { d.Lines[0].Value = strings.Repeat("x", MaxValue) }, "bytes"},
	} {
		if _, err := Sign(c.seed, document(c.change)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	seed, _ := newKey(f)
	value, err := Sign(seed, document(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte(`{"document":"{}","key":"U","signature":"AA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, d, err := Open(text)
		if err != nil {
			return
		}
		if len(text) > MaxValue || e.Signature == "" || check(&d) != nil {
			t.Errorf("believed: %q", text)
		}
	})
}
