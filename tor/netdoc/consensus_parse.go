package netdoc

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"time"
)

const consensusDoc = "consensus"

// ParseConsensus reads a microdesc-flavour consensus. It checks the form alone: nothing in it is to be believed
// before Verify. Items, flags, protocols and algorithms we do not know are ignored. Of the text only the part that
// is signed is read, but for the signatures themselves: nothing may follow them.
func ParseConsensus(b []byte) (*Consensus, error) {
	s, err := newScanner(consensusDoc, b, MaxConsensusSize, maxConsensusObj)
	if err != nil {
		return nil, err
	}
	p := consensusParser{s: s, c: &Consensus{Method: 1}}
	for _, section := range []func() error{p.start, p.header, p.relays, p.footer, p.signatures} {
		if err := section(); err != nil {
			return nil, err
		}
	}
	return p.c, nil
}

// consensusParser reads the sections in their order. it is always the item to be looked at next; atEnd when there
// is none.
type consensusParser struct {
	s     *scanner
	c     *Consensus
	it    item
	atEnd bool
	seen  map[string]bool // items of the header that may occur once
}

func (p *consensusParser) advance() error {
	ok, err := p.s.next(&p.it)
	p.atEnd = !ok
	return err
}

func (p *consensusParser) fail(err error) error { return p.s.fail(p.it.start, err) }

func (p *consensusParser) failf(format string, args ...any) error {
	return p.fail(malformed(format, args...))
}

// start checks the first line. Its keyword must be the first byte of the text: that is where the signed part
// begins.
func (p *consensusParser) start() error {
	if !startsItem(p.s.text, "network-status-version") {
		return p.s.fail(0, malformed("does not start with network-status-version"))
	}
	if err := p.advance(); err != nil {
		return err
	}
	if version := p.it.args.next(); string(version) != "3" {
		return p.failf("network-status-version %q, want 3", clip(version))
	}
	if flavor := p.it.args.next(); string(flavor) != "microdesc" {
		return p.fail(ErrFlavor)
	}
	return p.advance()
}

// inFooter reports whether the item at hand begins or belongs to the footer.
func (p *consensusParser) inFooter() bool {
	switch string(p.it.keyword) {
	case "directory-footer", "bandwidth-weights", "directory-signature":
		return true
	}
	return false
}

// header reads the preamble and the authority section, up to the first relay.
func (p *consensusParser) header() error {
	p.seen = make(map[string]bool)
	for !p.atEnd && string(p.it.keyword) != "r" && !p.inFooter() {
		if err := p.headerItem(); err != nil {
			return p.fail(err)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	for _, keyword := range []string{"vote-status", "valid-after", "fresh-until", "valid-until", "voting-delay", "known-flags"} {
		if !p.seen[keyword] {
			return p.failf("header without %s", keyword)
		}
	}
	if !p.c.ValidAfter.Before(p.c.FreshUntil) || !p.c.FreshUntil.Before(p.c.ValidUntil) {
		return p.failf("valid-after, fresh-until and valid-until do not ascend")
	}
	if len(p.c.Sources) == 0 {
		return p.failf("header without dir-source")
	}
	return nil
}

// headerItem takes one item before the first relay.
func (p *consensusParser) headerItem() error {
	switch string(p.it.keyword) {
	case "dir-source", "contact", "vote-digest":
		return p.sourceItem()
	}
	read := headerReaders[string(p.it.keyword)]
	if read == nil {
		return nil
	}
	keyword := string(p.it.keyword)
	if p.seen[keyword] {
		return malformed("%s given twice", keyword)
	}
	p.seen[keyword] = true
	return read(p.c, p.it.args)
}

// headerReaders are the items of the preamble, each at most once.
var headerReaders = map[string]func(*Consensus, fields) error{
	"vote-status": func(_ *Consensus, args fields) error {
		if status := args.next(); string(status) != "consensus" {
			return malformed("vote-status %q, want consensus", clip(status))
		}
		return nil
	},
	"consensus-method": func(c *Consensus, args fields) error {
		n, ok := parseUint(args.next(), 1<<31-1)
		if !ok || n == 0 {
			return malformed("bad consensus-method")
		}
		c.Method = int(n)
		return nil
	},
	"valid-after":  func(c *Consensus, args fields) error { return readTime(&c.ValidAfter, args) },
	"fresh-until":  func(c *Consensus, args fields) error { return readTime(&c.FreshUntil, args) },
	"valid-until":  func(c *Consensus, args fields) error { return readTime(&c.ValidUntil, args) },
	"voting-delay": readVotingDelay,
	"client-versions": func(c *Consensus, args fields) error {
		c.ClientVersions = splitVersions(args)
		return nil
	},
	"server-versions": func(c *Consensus, args fields) error {
		c.ServerVersions = splitVersions(args)
		return nil
	},
	"known-flags": func(c *Consensus, args fields) (err error) {
		c.KnownFlags, err = args.strings(1024)
		return err
	},
	"recommended-client-protocols": func(c *Consensus, args fields) error { return readProtocols(&c.RecommendedClient, args) },
	"recommended-relay-protocols":  func(c *Consensus, args fields) error { return readProtocols(&c.RecommendedRelay, args) },
	"required-client-protocols":    func(c *Consensus, args fields) error { return readProtocols(&c.RequiredClient, args) },
	"required-relay-protocols":     func(c *Consensus, args fields) error { return readProtocols(&c.RequiredRelay, args) },
	"params": func(c *Consensus, args fields) error {
		params, err := parseParams(args)
		c.Params = params
		return err
	},
	"shared-rand-previous-value": func(c *Consensus, args fields) error {
		c.SharedRandPrevious = parseSharedRand(args)
		return nil
	},
	"shared-rand-current-value": func(c *Consensus, args fields) error {
		c.SharedRandCurrent = parseSharedRand(args)
		return nil
	},
}

func readTime(t *time.Time, args fields) error {
	var ok bool
	if *t, ok = parseTime(&args); !ok {
		return malformed("bad time, want YYYY-MM-DD HH:MM:SS")
	}
	return nil
}

func readVotingDelay(c *Consensus, args fields) error {
	vote, okVote := parseUint(args.next(), 1<<31-1)
	dist, okDist := parseUint(args.next(), 1<<31-1)
	if !okVote || !okDist {
		return malformed("bad voting-delay")
	}
	c.VoteDelay, c.DistDelay = time.Duration(vote)*time.Second, time.Duration(dist)*time.Second
	return nil
}

func readProtocols(p *Protocols, args fields) (err error) {
	*p, err = parseProtocols(args)
	return err
}

// splitVersions reads a comma-separated list.
func splitVersions(args fields) []string {
	var out []string
	for v := range bytes.SplitSeq(args.rest(), []byte(",")) {
		if len(v) > 0 {
			out = append(out, string(v))
		}
	}
	return out
}

// parseSharedRand is nil for an unreadable value: as in C tor that costs onion services their day's randomness,
// not clients the consensus.
func parseSharedRand(args fields) *SharedRand {
	n, ok := parseUint(args.next(), 1<<31-1)
	sr := &SharedRand{NumReveals: int(n)}
	if !ok || !decodeBase64(sr.Value[:], args.next()) {
		return nil
	}
	return sr
}

// sourceItem takes one item of the authority section.
func (p *consensusParser) sourceItem() error {
	if string(p.it.keyword) == "dir-source" {
		if len(p.c.Sources) == maxSources {
			return ErrTooLarge
		}
		src, err := parseSource(p.it.args)
		if err != nil {
			return err
		}
		p.c.Sources = append(p.c.Sources, src)
		return nil
	}
	if len(p.c.Sources) == 0 {
		return malformed("%s before the first dir-source", p.it.keyword)
	}
	src := &p.c.Sources[len(p.c.Sources)-1]
	if string(p.it.keyword) == "contact" {
		src.Contact = string(p.it.args.rest())
		return nil
	}
	var ok bool
	if src.VoteDigest, ok = parseHexDigest(p.it.args.next()); !ok {
		return malformed("bad vote-digest")
	}
	return nil
}

func parseSource(args fields) (src Source, err error) {
	src.Nickname = string(args.next())
	var okID, okAddr bool
	src.Identity, okID = parseHexDigest(args.next())
	src.Hostname = string(args.next())
	src.Addr, okAddr = parseIPv4(args.next())
	dirPort, okDir := parseUint(args.next(), 65535)
	orPort, okOR := parseUint(args.next(), 65535)
	if !okID || !okAddr || !okDir || !okOR {
		return Source{}, malformed("bad dir-source")
	}
	src.DirPort, src.ORPort = uint16(dirPort), uint16(orPort)
	return src, nil
}

// footer reads up to the first signature.
func (p *consensusParser) footer() error {
	first, weights := true, false
	for ; !p.atEnd && string(p.it.keyword) != "directory-signature"; first = false {
		switch string(p.it.keyword) {
		case "directory-footer":
			if !first {
				return p.failf("misplaced directory-footer")
			}
		case "bandwidth-weights":
			if weights {
				return p.failf("bandwidth-weights given twice")
			}
			weights = true
			params, err := parseParams(p.it.args)
			if err != nil {
				return p.fail(err)
			}
			p.c.BandwidthWeights = params
		case "r":
			return p.failf("relay after the footer began")
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	if p.atEnd {
		return p.failf("consensus without a directory-signature")
	}
	return nil
}

// signatures reads what follows, which must be signatures to the end, and digests what they sign: from the first
// byte through the space after the first "directory-signature" (dir-spec 3.4.1).
func (p *consensusParser) signatures() error {
	const keyword = "directory-signature "
	if !bytes.HasPrefix(p.s.text[p.it.start:], []byte(keyword)) {
		return p.failf("no space after directory-signature")
	}
	signed := p.s.text[:p.it.start+len(keyword)]
	sha1Used := false
	for !p.atEnd {
		if string(p.it.keyword) != "directory-signature" {
			return p.failf("%q after the first signature", clip(p.it.keyword))
		}
		if len(p.c.Signatures) == maxSignatures {
			return p.fail(ErrTooLarge)
		}
		sig, err := parseSignature(&p.it)
		if err != nil {
			return p.fail(err)
		}
		sha1Used = sha1Used || sig.Algorithm == algSHA1
		p.c.Signatures = append(p.c.Signatures, sig)
		if err := p.advance(); err != nil {
			return err
		}
	}
	p.c.sha256 = sha256.Sum256(signed)
	if sha1Used {
		p.c.sha1 = sha1.Sum(signed)
	}
	return nil
}

// Digest algorithms of signatures.
const (
	algSHA1   = "sha1"
	algSHA256 = "sha256"
)

// parseSignature reads "directory-signature [algorithm] identity signing-key-digest". An algorithm we do not know
// may have arguments and an object of any form.
func parseSignature(it *item) (sig Signature, err error) {
	args := it.args
	first, second, third := args.next(), args.next(), args.next()
	sig.Algorithm = algSHA1
	if third != nil {
		sig.Algorithm = string(clip(first))
		first, second = second, third
	}
	var okID, okKey bool
	sig.KeyID.Identity, okID = parseHexDigest(first)
	sig.KeyID.SigningKey, okKey = parseHexDigest(second)
	if sig.Algorithm != algSHA1 && sig.Algorithm != algSHA256 {
		return sig, nil
	}
	if !okID || !okKey {
		return sig, malformed("bad key digests in directory-signature")
	}
	sig.Signature, err = signatureObject(it, "SIGNATURE")
	return sig, err
}
