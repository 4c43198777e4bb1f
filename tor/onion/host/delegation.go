package host

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"chive/tor/cert"
	"chive/tor/onion"
	"chive/tor/onion/descriptor"
)

const (
	// MaxDelegated is for how many periods keys are delegated at most.
	MaxDelegated = 1000
	// MaxDelegation bounds a delegation's form on disk, in bytes.
	MaxDelegation = 512 << 10

	delegationHeader = "chive-onion-delegation 1"
	maxVoting        = 24 * time.Hour
	maxMinutes       = 14400 // of hsdir-interval
)

// ErrDelegation: the text is no delegation. The error never repeats what it read.
var ErrDelegation = errors.New("malformed delegation")

// Delegation is what a host gets instead of the identity key: for each of some
// periods that follow each other a key that signs descriptors, certified by the
// blinded key (rend-spec-v3 section 1.7), and what numbers their revisions. Who
// has it can publish descriptors of the service in those periods, and read what
// its hosts share, and nothing else: neither the identity key nor a blinded one
// follows from it. Nobody can take it back before its time is over.
//
// On disk it is lines of text, of which there is one form only:
//
//	chive-onion-delegation 1
//	service <address>.onion
//	schedule <minutes of a period> <seconds between two votes>
//	common <secret of all hosts>
//	period <number> <revision key> <seed of the signing key> <certificate>
//
// with secrets, keys and certificates in base64, one line for each period, ascending. It
// is a secret, and prints as "[redacted]".
type Delegation struct {
	Address  onion.Address
	Schedule onion.Schedule // of the network it is for
	Common   onion.Common
	Keys     Offline
	first    onion.Period
}

// Format implements fmt.Formatter so that no verb can print it.
func (Delegation) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// NewDelegation delegates so many periods, from the one that holds from, and the
// one before and after, for a service is published for two at a time. It reads 32
// bytes from rand for each.
func NewDelegation(identity *onion.SecretKey, rand io.Reader, schedule onion.Schedule, from time.Time, periods int) (*Delegation, error) {
	if err := checkSchedule(schedule); err != nil {
		return nil, err
	}
	at := schedule.Period(from)
	if periods < 1 || periods > MaxDelegated-2 || at.Number == 0 || at.Number > 1<<40 {
		return nil, fmt.Errorf("%d periods from %v: at most %d can be delegated", periods, from.UTC().Format(time.DateOnly), MaxDelegated-2)
	}
	d := &Delegation{Address: identity.Address(), Schedule: schedule, Common: identity.Common(), Keys: Offline{}, first: at.Previous()}
	for p := d.first; len(d.Keys) < periods+2; p = p.Next() {
		k, err := Delegate(identity, rand, p, certExpires(schedule, p))
		if err != nil {
			return nil, err
		}
		d.Keys[p] = k
	}
	return d, nil
}

func checkSchedule(s onion.Schedule) error {
	if s.Minutes < 1 || s.Minutes > maxMinutes || s.Voting < time.Second || s.Voting > maxVoting || s.Voting%time.Second != 0 {
		return fmt.Errorf("periods of %d minutes with a vote every %v: want 1 to %d minutes, and whole seconds up to %v", s.Minutes, s.Voting, maxMinutes, maxVoting)
	}
	return nil
}

// certExpires is more than a period after the last descriptor that has the
// certificate in it: a service publishes for a period until the middle of the next.
func certExpires(s onion.Schedule, p onion.Period) time.Time {
	return s.Start(p.Next().Next().Next()).Add(descriptor.DefaultLifetime)
}

// Lasts is from when until when the service is published with it without a gap.
func (d *Delegation) Lasts() (from, until time.Time) {
	until, _ = d.Keys.Until(d.Schedule)
	return d.Schedule.Start(d.first.Next()), until
}

// Over says whether nothing can be published with it any more.
func (d *Delegation) Over(now time.Time) bool {
	_, until := d.Lasts()
	// Clients look for the last period while it lasts.
	return !now.Before(until.Add(time.Duration(d.Schedule.Minutes) * time.Minute))
}

// Text is the form on disk. It is a secret.
func (d *Delegation) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nservice %s\nschedule %d %d\n", delegationHeader, d.Address.Host(), d.Schedule.Minutes, d.Schedule.Voting/time.Second)
	fmt.Fprintf(&b, "common %s\n", encode64(d.Common[:]))
	for p := d.first; len(d.Keys[p].Signing) > 0; p = p.Next() {
		k := d.Keys[p]
		fmt.Fprintf(&b, "period %d %s %s %s\n", p.Number, encode64(k.Revision[:]), encode64(k.Signing.Seed()), encode64(k.Cert))
	}
	return b.Bytes()
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// ParseDelegation reads the form on disk, and checks every certificate. Error:
// ErrDelegation.
func ParseDelegation(text []byte) (*Delegation, error) {
	if len(text) > MaxDelegation {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDelegation, MaxDelegation)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 6 || lines[0] != delegationHeader || lines[len(lines)-1] != "" {
		return nil, fmt.Errorf("%w: want %q, and whole lines", ErrDelegation, delegationHeader)
	}
	d := &Delegation{Keys: Offline{}}
	if err := d.readHead(lines[1], lines[2], lines[3]); err != nil {
		return nil, err
	}
	periods := lines[4 : len(lines)-1]
	if len(periods) > MaxDelegated {
		return nil, fmt.Errorf("%w: more than %d periods", ErrDelegation, MaxDelegated)
	}
	for i, line := range periods {
		k, err := d.readPeriod(line)
		if err == nil && i > 0 && k.Period.Number != d.first.Number+uint64(i) {
			err = errors.New("not the period after the one before")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDelegation, i+5, err)
		}
		if i == 0 {
			d.first = k.Period
		}
		d.Keys[k.Period] = k
	}
	// Two texts for one delegation would be a place for what nobody looks at.
	if !bytes.Equal(d.Text(), text) {
		return nil, fmt.Errorf("%w: not as chive writes it", ErrDelegation)
	}
	return d, nil
}

func (d *Delegation) readHead(service, schedule, common string) error {
	name, ok := strings.CutPrefix(service, "service ")
	a, err := onion.ParseAddress(name)
	if !ok || err != nil {
		return fmt.Errorf("%w: line 2 names no onion service", ErrDelegation)
	}
	fields := strings.Split(schedule, " ")
	if len(fields) != 3 || fields[0] != "schedule" {
		return fmt.Errorf("%w: line 3 is no schedule", ErrDelegation)
	}
	minutes, err := strconv.ParseUint(fields[1], 10, 16)
	voting, err2 := strconv.ParseUint(fields[2], 10, 32)
	d.Address, d.Schedule = a, onion.Schedule{Minutes: minutes, Voting: time.Duration(voting) * time.Second}
	if err = errors.Join(err, err2); err == nil {
		err = checkSchedule(d.Schedule)
	}
	if err != nil {
		return fmt.Errorf("%w: line 3 is no schedule", ErrDelegation)
	}
	text, ok := strings.CutPrefix(common, "common ")
	secret, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(secret) != len(d.Common) {
		return fmt.Errorf("%w: line 4 is no secret of hosts", ErrDelegation)
	}
	d.Common = onion.Common(secret)
	return nil
}

// readPeriod reads one period's line. Its errors hold nothing of it.
func (d *Delegation) readPeriod(line string) (k PeriodKeys, err error) {
	fields := strings.Split(line, " ")
	if len(fields) != 5 || fields[0] != "period" {
		return k, errors.New("no period")
	}
	number, err := strconv.ParseUint(fields[1], 10, 41)
	if err != nil {
		return k, errors.New("no period's number")
	}
	var parts [3][]byte
	for i, f := range fields[2:] {
		if parts[i], err = base64.StdEncoding.DecodeString(f); err != nil {
			return k, errors.New("not base64")
		}
	}
	revision, seed := parts[0], parts[1]
	if len(revision) != len(k.Revision) || len(seed) != ed25519.SeedSize {
		return k, errors.New("no keys")
	}
	k = PeriodKeys{
		Period: onion.Period{Number: number, Minutes: d.Schedule.Minutes}, Revision: onion.RevisionKey(revision),
		Signing: ed25519.NewKeyFromSeed(seed), Cert: parts[2],
	}
	if k.Blinded, err = d.Address.Blind(k.Period); err != nil {
		return k, err
	}
	c, err := cert.ParseEd25519(k.Cert)
	if err != nil {
		return k, errors.New("no certificate")
	}
	k.Expires = c.Expires
	if c.Type != cert.TypeHSSigning || c.KeyType != cert.KeyEd25519 || !bytes.Equal(c.Key[:], k.Signing.Public().(ed25519.PublicKey)) ||
		!c.HasSignedWith || c.Verify(k.Blinded, c.Expires) != nil {
		return k, errors.New("the certificate is not for the key, the service and the period")
	}
	return k, nil
}
