package host

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"chive/tor/onion"
)

// public is the schedule of the public network.
var public = onion.Schedule{Voting: time.Hour, Minutes: 1440}

func delegated(t testing.TB, periods int) (*onion.SecretKey, *Delegation) {
	t.Helper()
	identity := onion.SecretKeyOfSeed([32]byte{7})
	d, err := NewDelegation(identity, rand.NewChaCha8([32]byte{1}), public, epoch, periods)
	if err != nil {
		t.Fatal(err)
	}
	return identity, d
}

// rend-spec-v3 section 1.7: what the host gets signs for its periods alone.
func TestDelegation(t *testing.T) {
	identity, d := delegated(t, 3)
	from, until := d.Lasts()
	at := public.Period(epoch)
	if len(d.Keys) != 5 || !from.Equal(public.Start(at)) || !until.Equal(from.Add(3*day)) {
		t.Fatalf("%d periods, %v to %v", len(d.Keys), from, until)
	}
	for _, o := range []struct {
		after time.Duration
		over  bool
	}{{0, false}, {3 * day, false}, {4*day - 1, false}, {4 * day, true}} {
		if d.Over(from.Add(o.after)) != o.over {
			t.Errorf("after %v: over is %v", o.after, !o.over)
		}
	}
	got, err := ParseDelegation(d.Text())
	if err != nil {
		t.Fatal(err)
	}
	online := NewOnline(identity)
	for p, k := range got.Keys {
		want, err := online.Period(rand.NewChaCha8([32]byte{2}), p, epoch)
		if err != nil || k.Blinded != want.Blinded || k.Revision != want.Revision || k.Period != p {
			t.Errorf("period %d: %v", p.Number, err)
		}
		// A descriptor is published for a period up to the middle of the next.
		if least := public.Start(p.Next()).Add(12*public.Voting + 3*time.Hour); k.Expires.Before(least) {
			t.Errorf("period %d: the certificate ends at %v, descriptors at %v", p.Number, k.Expires, least)
		}
	}
	for name, p := range map[string]onion.Period{"before": at.Previous().Previous(), "after": {Number: at.Number + 4, Minutes: 1440}, "another length": {Number: at.Number, Minutes: 60}} {
		if _, err := got.Keys.Period(nil, p, epoch); !errors.Is(err, ErrNoKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %s %x", d, *d, d, *d); text != "[redacted] [redacted] [redacted] [redacted]" {
		t.Errorf("it prints as %s", text)
	}
	if got.Common != identity.Common() {
		t.Error("another secret than hosts with the key have")
	}
	secret := identity.Bytes()
	if s := d.Text(); bytes.Contains(s, []byte(base64.StdEncoding.EncodeToString(secret[:32]))) || len(s) > MaxDelegation {
		t.Error("the identity key is in it")
	}
}

func TestDelegationLimits(t *testing.T) {
	identity := onion.SecretKeyOfSeed([32]byte{7})
	for name, try := range map[string]func() error{
		"none": func() error {
			_, err := NewDelegation(identity, rand.NewChaCha8([32]byte{}), public, epoch, 0)
			return err
		},
		"too many": func() error {
			_, err := NewDelegation(identity, rand.NewChaCha8([32]byte{}), public, epoch, MaxDelegated)
			return err
		},
		"before there were any": func() error {
			_, err := NewDelegation(identity, rand.NewChaCha8([32]byte{}), public, time.Unix(0, 0), 3)
			return err
		},
		"no schedule": func() error {
			_, err := NewDelegation(identity, rand.NewChaCha8([32]byte{}), onion.Schedule{Voting: time.Millisecond, Minutes: 5}, epoch, 3)
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: made", name)
		}
	}
	_, one := delegated(t, 1)
	_, two := delegated(t, 2)
	if n := len(one.Text()) + MaxDelegated*(len(two.Text())-len(one.Text())+8); n > MaxDelegation { // numbers grow
		t.Errorf("the longest has %d bytes", n)
	}
}

func TestMalformedDelegations(t *testing.T) {
	_, d := delegated(t, 2)
	_, other := delegated(t, 3)
	text := string(d.Text())
	lines := strings.SplitAfter(text, "\n")
	word := func(line, i int, with string) string {
		fields := strings.Split(strings.TrimSuffix(lines[line], "\n"), " ")
		fields[i] = with
		return strings.Join(lines[:line], "") + strings.Join(fields, " ") + "\n" + strings.Join(lines[line+1:], "")
	}
	of := func(line, i int) string {
		return strings.Split(strings.TrimSuffix(strings.SplitAfter(string(other.Text()), "\n")[line], "\n"), " ")[i]
	}
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	stranger := onion.SecretKeyOfSeed([32]byte{9}).Address().Host()
	for name, s := range map[string]string{
		"empty": "", "cut": text[:len(text)-1], "no periods": strings.Join(lines[:4], ""), "long": text + strings.Repeat(" ", MaxDelegation),
		"another version": word(0, 1, "2"), "no service": word(1, 1, "example.onion"), "another service": word(1, 1, stranger),
		"no length": word(2, 1, "0"), "another length": word(2, 1, "1439"), "a leading zero": word(2, 1, "01440"), "no votes": word(2, 2, "0"),
		"days between votes": word(2, 2, "90000"), "a short secret": word(3, 1, "AAAA"), "no secret": word(3, 0, "secret"),
		"another period": word(4, 1, "20000"), "a short revision key": word(4, 2, "AAAA"),
		"another key": word(4, 3, zero), "no base64": word(4, 3, "????"), "another's certificate": word(4, 4, of(5, 4)), "no certificate": word(4, 4, "AAAA"),
		"a period twice": strings.Join(lines[:5], "") + lines[4], "a gap": strings.Join(lines[:4], "") + lines[4] + lines[6],
		"backwards": strings.Join(lines[:4], "") + lines[5] + lines[4], "a word more": strings.TrimSuffix(text, "\n") + " more\n",
		"other line ends": strings.ReplaceAll(text, "\n", "\r\n"), "a line more": text + "\n", "blanks": strings.Replace(text, "period ", "period  ", 1),
	} {
		_, err := ParseDelegation([]byte(s))
		if !errors.Is(err, ErrDelegation) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, secret := range append(strings.Fields(lines[4])[2:], strings.Fields(lines[3])[1]) {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats a secret", name)
			}
		}
	}
}

// Whatever is on disk, it is one delegation or an error, and is written as it was read.
func FuzzParseDelegation(f *testing.F) {
	_, d := delegated(f, 2)
	f.Add(d.Text())
	f.Add([]byte(delegationHeader + "\nservice \nschedule 1440 3600\ncommon \nperiod 1 A A A\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDelegation(b)
		if err != nil {
			if !errors.Is(err, ErrDelegation) || d != nil {
				t.Fatalf("%v, %v", d, err)
			}
			return
		}
		if !bytes.Equal(d.Text(), b) {
			t.Fatal("read otherwise than written")
		}
		if from, until := d.Lasts(); len(d.Keys) > 2 && !from.Before(until) {
			t.Fatalf("%v to %v", from, until)
		}
	})
}

// A host without the identity key: it tells a week before its keys run out and when
// they have, goes on with new ones, and is published for every period until then.
func TestDelegationRunsOut(t *testing.T) {
	m := newSim(t, 17, 10, Config{Points: 1})
	var until time.Time
	delegate := func(from time.Time, periods int) *Delegation {
		t.Helper()
		d, err := NewDelegation(m.identity, m.random, m.network.Schedule, from, periods)
		if err != nil {
			t.Fatal(err)
		}
		_, until = d.Lasts()
		return d
	}
	told := func() (soon, over int, missing []uint64) {
		for _, e := range m.events {
			switch e := e.(type) {
			case KeysEnd:
				if e.Until != until {
					t.Errorf("until %v, not %v", e.Until, until)
				}
				if e.Over {
					over++
				} else {
					soon++
				}
			case Unpublishable:
				missing = append(missing, e.Period.Number)
			}
		}
		return soon, over, missing
	}
	check := func(at string, soon, over, missing int) {
		t.Helper()
		if s, o, m := told(); s != soon || o != over || len(m) != missing {
			t.Errorf("%s: told %d times that they run out, %d times that they have, not published: %v", at, s, o, m)
		}
	}
	m.keys = delegate(m.now, 8).Keys
	m.restart(true)
	m.run(until.Add(-keysWarning).Sub(m.now) - time.Hour)
	check("a little more than seven days before", 0, 0, 0)
	m.run(2 * time.Hour)
	check("less than seven days before", 1, 0, 0)

	m.events = nil
	m.keys = delegate(m.now.Add(-6*day), 7).Keys
	m.restart(true)
	m.run(until.Sub(m.now) - time.Minute)
	check("at the end", 1, 0, 0)
	if s := m.s.Status(); !s.Delegated || !s.KeysUntil.Equal(until) {
		t.Errorf("%+v", s)
	}
	m.run(13 * time.Hour)
	check("in the last period", 1, 1, 1)
	if _, _, missing := told(); missing[0] != m.network.Period(until).Number+1 {
		t.Errorf("not published: %v, it is period %d", missing, m.network.Period(m.now).Number)
	}
	if again, err := NewDelegation(m.identity, m.random, m.network.Schedule, m.now, 20); err != nil {
		t.Fatal(err)
	} else {
		m.keys = again.Keys
		m.s.SetKeys(again.Keys, m.now)
		m.obey()
	}
	m.events = nil
	m.run(10 * time.Minute)
	first, second := m.network.Store()
	if m.revisions[first.Period] == 0 || m.revisions[second.Period] == 0 {
		t.Errorf("with new keys it is published for %v", m.revisions)
	}
	check("with new keys", 0, 0, 0)
}

// Keys for another network's periods are told as such.
func TestDelegationOfAnotherNetwork(t *testing.T) {
	m := newSim(t, 18, 30, Config{Points: 3})
	d, err := NewDelegation(m.identity, m.random, onion.Schedule{Voting: time.Hour, Minutes: 60}, m.now, 9)
	if err != nil {
		t.Fatal(err)
	}
	m.keys, m.queue.events, m.described = d.Keys, nil, 0
	m.restart(true)
	m.run(20 * time.Minute)
	if s := m.s.Status(); !s.Delegated || !s.KeysUntil.IsZero() || !errors.Is(s.Periods[0].Problem, errKeysOther) {
		t.Errorf("%+v", s)
	}
}
