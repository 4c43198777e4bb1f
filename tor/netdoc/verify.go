package netdoc

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of Verify, wrapped with the numbers.
var (
	// ErrNoAuthorities: the list of trusted authorities is empty.
	ErrNoAuthorities = errors.New("no trusted authorities are configured")
	// ErrTooFewSignatures: no strict majority of the trusted authorities signed.
	ErrTooFewSignatures = errors.New("too few good signatures")
)

// SignatureReport says what became of a consensus' signatures. Each trusted authority is in at most one of Good,
// Bad, Expired and MissingCerts, the first that applies.
type SignatureReport struct {
	Good         []KeyID // good signatures, one an authority
	Bad          []KeyID // signatures that do not verify
	Expired      []KeyID // the certificate does not count at this time
	MissingCerts []KeyID // no certificate at hand: fetch these and verify again
	Untrusted    []KeyID // signatures of authorities that are not on the list
	Needed       int     // how many good ones it takes
}

// Enough reports whether a strict majority of the trusted authorities signed.
func (r *SignatureReport) Enough() bool { return r.Needed > 0 && len(r.Good) >= r.Needed }

// CouldBeEnough reports whether it may be enough once the missing certificates are here, and new
// ones for those that have expired: an authority may keep its key.
func (r *SignatureReport) CouldBeEnough() bool {
	return r.Needed > 0 && len(r.Good)+len(r.MissingCerts)+len(r.Expired) >= r.Needed
}

// Verify checks that a strict majority of the trusted authorities (v3 identities; repeated ones count once) signed
// the consensus, each with the signing key its certificate vouches for, and with a certificate that counts at now.
// The report is filled in either way. The error wraps ErrTooFewSignatures or ErrNoAuthorities. The consensus' own
// times are not looked at: that is CheckTime.
func (c *Consensus) Verify(trusted []Digest, certs []*AuthCert, now time.Time) (SignatureReport, error) {
	authorities := slices.Compact(slices.SortedFunc(slices.Values(trusted), compareDigests))
	report := SignatureReport{Needed: len(authorities)/2 + 1}
	if len(authorities) == 0 {
		report.Needed = 0
		return report, ErrNoAuthorities
	}
	byKey := make(map[KeyID]*AuthCert, len(certs))
	for _, cert := range certs {
		byKey[cert.KeyID()] = cert
	}
	for _, authority := range authorities {
		c.verifyAuthority(&report, authority, byKey, now)
	}
	for i := range c.Signatures {
		id := c.Signatures[i].KeyID
		if _, ok := slices.BinarySearchFunc(authorities, id.Identity, compareDigests); !ok && !slices.Contains(report.Untrusted, id) {
			report.Untrusted = append(report.Untrusted, id)
		}
	}
	if !report.Enough() {
		return report, fmt.Errorf("%w: %d of %d authorities, need %d (%d bad, %d with an expired certificate, %d without a certificate)",
			ErrTooFewSignatures, len(report.Good), len(authorities), report.Needed,
			len(report.Bad), len(report.Expired), len(report.MissingCerts))
	}
	return report, nil
}

// verifyAuthority looks at the signatures of one authority until one is good.
func (c *Consensus) verifyAuthority(report *SignatureReport, authority Digest, certs map[KeyID]*AuthCert, now time.Time) {
	var bad, expired, missing []KeyID
	for i := range c.Signatures {
		sig := &c.Signatures[i]
		digest := c.digest(sig.Algorithm)
		if sig.KeyID.Identity != authority || digest == nil {
			continue
		}
		cert := certs[sig.KeyID]
		switch {
		case cert == nil:
			missing = append(missing, sig.KeyID)
		case cert.CheckTime(now) != nil:
			expired = append(expired, sig.KeyID)
		case !verifyRaw(cert.SigningKey, digest, sig.Signature):
			bad = append(bad, sig.KeyID)
		default:
			report.Good = append(report.Good, sig.KeyID)
			return
		}
	}
	// One entry an authority: a document that repeats signatures gains nothing in any of the lists.
	switch {
	case len(bad) > 0:
		report.Bad = append(report.Bad, bad[0])
	case len(expired) > 0:
		report.Expired = append(report.Expired, expired[0])
	case len(missing) > 0:
		report.MissingCerts = append(report.MissingCerts, missing[0])
	}
}

// digest is what a signature with this algorithm signs; nil for one we do not know.
func (c *Consensus) digest(algorithm string) []byte {
	switch algorithm {
	case algSHA1:
		return c.sha1[:]
	case algSHA256:
		return c.sha256[:]
	}
	return nil
}

// KeyIDs names the certificates it takes to check the signatures of the trusted authorities, less those in have:
// what to ask directories for before Verify. Each name occurs once, in the order of the signatures.
func (c *Consensus) KeyIDs(trusted []Digest, have []*AuthCert) []KeyID {
	var ids []KeyID
	for i := range c.Signatures {
		sig := &c.Signatures[i]
		if c.digest(sig.Algorithm) == nil || !slices.Contains(trusted, sig.KeyID.Identity) || slices.Contains(ids, sig.KeyID) {
			continue
		}
		if !slices.ContainsFunc(have, func(cert *AuthCert) bool { return cert.KeyID() == sig.KeyID }) {
			ids = append(ids, sig.KeyID)
		}
	}
	return ids
}
