package netdoc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

const mdDoc = "microdescriptor"

// Microdesc is one relay's microdescriptor (dir-spec 3.3). Which relay it is of, only the consensus says, by the
// digest.
type Microdesc struct {
	Digest    MDDigest
	NtorKey   [32]byte   // circuit handshake key
	Ed25519   Ed25519ID  // zero when absent; to be ignored for a relay with FlagNoEdConsensus
	Family    *Family    // nil when none is declared
	FamilyIDs []string   // proven families, such as "ed25519:<base64>"; shared, read-only
	Policy4   PortPolicy // exit-policy summary for IPv4 targets
	Policy6   PortPolicy // and for IPv6 targets
}

// MicrodescError says that one microdescriptor could not be used. Digest is that of its text, so it names a relay
// of the consensus only if the authorities themselves voted for this text: no cache can make another relay's
// microdescriptor look bad.
type MicrodescError struct {
	Digest MDDigest
	Err    error
}

func (e *MicrodescError) Error() string {
	return fmt.Sprintf("microdescriptor %v: %v", e.Digest, e.Err)
}

func (e *MicrodescError) Unwrap() error { return e.Err }

// maxReportedMDErrors bounds what one hostile text can make us report.
const maxReportedMDErrors = 128

// MicrodescReader reads microdescriptors that arrive in many answers. It shares what many of them have in common
// (families, family ids, policies), so keep one for as long as a directory is collected. It is not safe for
// concurrent use. The zero value reads everything.
type MicrodescReader struct {
	// Want, if set, says which digests are asked for; texts with other digests are passed over unread, so that a
	// hostile cache can put nothing into memory that the authorities did not vote for.
	Want func(MDDigest) bool

	families  internTable[*Family]
	familyIDs internTable[[]string]
	policies  internTable[PortPolicy]
}

// ParseMicrodescs reads concatenated microdescriptors and calls each for every good one, with its own text, which
// aliases b; the Microdesc does not. Lines starting with "@" before a microdescriptor (cache annotations) are
// skipped and belong to no text. Bad ones are skipped: the error then joins a *MicrodescError for each of the
// first hundred or so. Nobody is told here whether the text was asked for: match Digest against the consensus, or
// use a MicrodescReader.
func ParseMicrodescs(b []byte, each func(md *Microdesc, raw []byte)) error {
	return new(MicrodescReader).Read(b, each)
}

// Read is ParseMicrodescs for one answer of many.
func (mr *MicrodescReader) Read(b []byte, each func(md *Microdesc, raw []byte)) error {
	if _, err := newScanner(mdDoc, b, MaxMicrodescsSize, maxMDObjects); err != nil {
		return err
	}
	var errs []error
	start, err := skipAnnotations(b, 0)
	if err != nil {
		return err
	}
	for start < len(b) {
		end := nextMicrodesc(b, start)
		raw := b[start:end]
		if digest := MDDigest(sha256.Sum256(raw)); mr.Want == nil || mr.Want(digest) {
			md := &Microdesc{Digest: digest}
			if err := mr.parse(md, b, start, end); err == nil {
				each(md, raw)
			} else if len(errs) < maxReportedMDErrors {
				errs = append(errs, &MicrodescError{digest, err})
			}
		}
		if start, err = skipAnnotations(b, end); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

// skipAnnotations passes blank lines and annotations.
func skipAnnotations(b []byte, pos int) (int, error) {
	s := &scanner{doc: mdDoc, text: b}
	for pos < len(b) && (b[pos] == '\n' || b[pos] == '@') {
		_, end, err := s.line(pos)
		if err != nil {
			return 0, err
		}
		pos = end
	}
	return pos, nil
}

// nextMicrodesc is where the one that begins at start ends: at the next "onion-key" line or annotation.
func nextMicrodesc(b []byte, start int) int {
	s := &scanner{text: b}
	for pos := s.lineAfter(start); pos < len(b); pos = s.lineAfter(pos) {
		if b[pos] == '@' || startsItem(b[pos:], "onion-key") {
			return pos
		}
	}
	return len(b)
}

// startsItem reports whether b starts with a line of this keyword.
func startsItem(b []byte, keyword string) bool {
	return len(b) >= len(keyword) && string(b[:len(keyword)]) == keyword &&
		(len(b) == len(keyword) || !keywordChar[b[len(keyword)]])
}

// Items that a microdescriptor may have once, by bit.
const (
	mdNtor = 1 << iota
	mdEd25519
	mdFamily
	mdFamilyIDs
	mdPolicy4
	mdPolicy6
)

func (mr *MicrodescReader) parse(md *Microdesc, b []byte, start, end int) error {
	s := &scanner{doc: mdDoc, text: b[:end], pos: start, maxObjects: maxMDObjects}
	var it item
	if _, err := s.next(&it); err != nil {
		return err
	}
	if string(it.keyword) != "onion-key" {
		return s.fail(start, malformed("microdescriptor starts with %q, want onion-key", clip(it.keyword)))
	}
	// The TAP key that may follow is of no use to us, and from consensus method 36 on it is gone: any object will do.
	seen := 0
	for {
		ok, err := s.next(&it)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		bit, err := mr.add(md, &it)
		if err == nil && seen&bit != 0 {
			err = malformed("%s given twice", it.keyword)
		}
		if err != nil {
			return s.fail(it.start, err)
		}
		seen |= bit
	}
	if seen&mdNtor == 0 {
		return s.fail(start, malformed("microdescriptor without ntor-onion-key"))
	}
	return nil
}

// add takes one item. Like C tor it treats an unreadable policy summary as one that rejects everything, so that
// an exit is lost and not the relay.
func (mr *MicrodescReader) add(md *Microdesc, it *item) (bit int, err error) {
	switch string(it.keyword) {
	case "ntor-onion-key":
		if !decodeBase64(md.NtorKey[:], it.args.next()) {
			return 0, malformed("bad ntor-onion-key")
		}
		return mdNtor, nil
	case "id":
		if string(it.args.next()) != "ed25519" {
			return 0, nil
		}
		if !decodeBase64(md.Ed25519[:], it.args.next()) {
			return 0, malformed("bad Ed25519 identity")
		}
		return mdEd25519, nil
	case "family":
		md.Family, err = mr.families.intern(it.args.rest(), func(t []byte) (*Family, error) { return parseFamily(t) })
		return mdFamily, err
	case "family-ids":
		md.FamilyIDs, err = mr.familyIDs.intern(it.args.rest(), func(t []byte) ([]string, error) {
			ids, err := fields(t).strings(maxFamilyEntries)
			return slices.Clip(ids), err
		})
		return mdFamilyIDs, err
	case "p":
		md.Policy4 = mr.policy(it)
		return mdPolicy4, nil
	case "p6":
		md.Policy6 = mr.policy(it)
		return mdPolicy6, nil
	}
	return 0, nil
}

func (mr *MicrodescReader) policy(it *item) PortPolicy {
	p, err := mr.policies.intern(it.args.rest(), parsePortPolicy)
	if err != nil {
		return PortPolicy{}
	}
	return p
}
