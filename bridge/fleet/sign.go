package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nkeys"

	"chive/messages"
)

// Why a publication is not believed.
var (
	ErrMalformed = errors.New("not a signed configuration")
	ErrUnsigned  = errors.New("not signed")
	ErrStranger  = errors.New("signed with a key that FleetConfigKey does not name")
	ErrForged    = errors.New("the signature is not of this text")
	ErrOther     = errors.New("a configuration of another fleet")
	ErrExpired   = errors.New("expired: publish it anew")
	ErrEarly     = errors.New("signed in the future: the clock here or there is wrong")
)

// Limits of a publication.
const (
	MaxValue = 512 << 10 // bytes, less than what a NATS server takes
	maxLines = 4096
	maxNodes = 1024
	maxText  = 256 // of a note or a name, in bytes
	// maxSkew is how far a signer's clock may be ahead.
	maxSkew = 10 * time.Minute
)

// Sign gives the value to publish. seed is of a user's nkey (SU…).
func Sign(seed []byte, d messages.FleetDocument) ([]byte, error) {
	if err := check(&d); err != nil {
		return nil, err
	}
	user, key, err := signer(seed)
	if err != nil {
		return nil, err
	}
	defer user.Wipe()
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	signature, err := user.Sign(append([]byte(messages.FleetSigned), text...))
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(messages.FleetEnvelope{
		Document: string(text), Key: key, Signature: base64.StdEncoding.EncodeToString(signature),
	})
	if err == nil && len(value) > MaxValue {
		err = fmt.Errorf("%d bytes, at most %d", len(value), MaxValue)
	}
	return value, err
}

// Author is the public nkey (U…) of who signs with a seed (SU…).
func Author(seed []byte) (string, error) {
	user, key, err := signer(seed)
	if err != nil {
		return "", err
	}
	user.Wipe()
	return key, nil
}

// signer is the key of a seed, which its caller wipes, with its public half.
func signer(seed []byte) (nkeys.KeyPair, string, error) {
	user, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, "", fmt.Errorf("not the seed (SU…) of an nkey: %w", err)
	}
	key, err := user.PublicKey()
	if err == nil && !nkeys.IsValidPublicUserKey(key) {
		err = errors.New("not a user's nkey, which begins with SU")
	}
	if err != nil {
		user.Wipe()
		return nil, "", err
	}
	return user, key, nil
}

// Verify reads a publication and says why it is not to be believed: errors match the
// ones above. keys are the public nkeys of those who may sign.
func Verify(value []byte, fleet string, keys []string, now time.Time) (d messages.FleetDocument, author string, err error) {
	e, d, err := Open(value)
	if err != nil {
		return messages.FleetDocument{}, "", err
	}
	err = func() error {
		switch {
		case !slices.Contains(keys, e.Key):
			return ErrStranger
		case d.Fleet != fleet:
			return ErrOther
		case !now.Before(d.Expires):
			return ErrExpired
		case d.Time.After(now.Add(maxSkew)):
			return ErrEarly
		}
		return nil
	}()
	if err != nil {
		return messages.FleetDocument{}, e.Key, err
	}
	return d, e.Key, nil
}

// Open reads a publication and checks that it was signed with the key in it, whoever's
// that is.
func Open(value []byte) (e messages.FleetEnvelope, d messages.FleetDocument, err error) {
	if len(value) > MaxValue {
		return e, d, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(value), MaxValue)
	}
	if err := strict(value, &e); err != nil {
		return e, d, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if e.Signature == "" || e.Key == "" {
		return e, d, ErrUnsigned
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(e.Signature)
	if err != nil {
		return e, d, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	if !nkeys.IsValidPublicUserKey(e.Key) {
		return e, d, fmt.Errorf("%w: the key is not a user's public nkey (U…)", ErrMalformed)
	}
	user, err := nkeys.FromPublicKey(e.Key)
	if err != nil {
		return e, d, fmt.Errorf("%w: key: %w", ErrMalformed, err)
	}
	if err := user.Verify(append([]byte(messages.FleetSigned), e.Document...), signature); err != nil {
		return e, d, fmt.Errorf("%w: %w", ErrForged, err)
	}
	if err := strict([]byte(e.Document), &d); err != nil {
		return e, d, fmt.Errorf("%w: document: %w", ErrMalformed, err)
	}
	if err := check(&d); err != nil {
		return e, d, fmt.Errorf("%w: document: %w", ErrMalformed, err)
	}
	return e, d, nil
}

// Digest names a document's text.
func Digest(e messages.FleetEnvelope) string {
	sum := sha256.Sum256([]byte(e.Document))
	return hex.EncodeToString(sum[:])
}

// check says what no document may be, whatever its lines mean.
func check(d *messages.FleetDocument) error {
	switch {
	case d.Fleet == "":
		return errors.New("no fleet")
	case d.Revision == 0:
		return errors.New("no revision: they count from 1")
	case d.Time.IsZero() || d.Expires.IsZero():
		return errors.New("time and expires are needed")
	case !d.Expires.After(d.Time):
		return errors.New("it expires before it begins")
	case len(d.Lines) > maxLines:
		return fmt.Errorf("%d lines, at most %d", len(d.Lines), maxLines)
	case len(d.Nodes) > maxNodes:
		return fmt.Errorf("%d nodes, at most %d", len(d.Nodes), maxNodes)
	case len(d.Note) > maxText:
		return fmt.Errorf("a note of %d bytes, at most %d", len(d.Note), maxText)
	}
	for _, l := range d.Lines {
		if l.Reset {
			return fmt.Errorf("%s: a document says all that the fleet sets: leave out what it is not to set", l.Name)
		}
	}
	for i, n := range d.Nodes {
		if n == "" || len(n) > maxText || slices.Contains(d.Nodes[:i], n) {
			return errors.New("nodes: empty, too long or twice")
		}
	}
	return checkTrial(d.Trial)
}

func checkTrial(t *messages.FleetTrial) error {
	switch {
	case t == nil:
		return nil
	case t.Seconds < 1 || t.Seconds > 3600:
		return fmt.Errorf("trial: %d seconds, want 1 to 3600", t.Seconds)
	case t.Circuits < 1 || t.Circuits > 100:
		return fmt.Errorf("trial: %d circuits, want 1 to 100", t.Circuits)
	case !(t.Success >= 0 && t.Success <= 1):
		return errors.New("trial: success is a share from 0 to 1")
	case !(t.BuildTime >= 0 && t.BuildTime <= 3600):
		return errors.New("trial: build_seconds, want 0 to 3600")
	case t.ConfirmFor < 0 || t.ConfirmFor > 7*24*3600:
		return errors.New("trial: confirm_seconds, want 0 to 604800")
	}
	return nil
}

// strict refuses fields that nobody would read, and more than one value.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}
