// Package dnsquery reads the questions of DNS clients (RFC 1035) that Tor can
// answer and writes the answers: A, AAAA and PTR, which an exit resolves. It owns
// no socket and no cache.
//
// What else is asked is answered with NOTIMP, as C tor does. There is no EDNS:
// an answer fits 512 bytes. Zone transfers, updates and messages of more than one
// question are refused.
package dnsquery

import (
	"errors"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"

	"chive/tor/cell"
	"chive/tor/socks"
)

// MaxMessage is the longest question that is read, in bytes; a name and its type
// need far less, and EDNS options the rest.
const MaxMessage = 4096

// maxAnswers keeps an answer within 512 bytes: 253 of a name, 28 each for AAAA.
const maxAnswers = 8

// TTLs are told in two values only, so that they say nothing of when the exit
// was asked before (C tor's clip_dns_ttl, against "DefecTor").
const (
	shortTTL = 5 * 60  // seconds, for what the exit says lasts less
	longTTL  = 60 * 60 // for the rest
)

// Question is what a client asks.
type Question struct {
	Host    string     // canonical, as in socks.Request; of A and AAAA
	Reverse netip.Addr // of PTR
	IPv6    bool       // AAAA

	id       uint16
	desired  bool // RD
	question dnsmessage.Question
}

// Code is how a question fails.
type Code = dnsmessage.RCode

// The codes of RFC 1035 section 4.1.1.
const (
	ServerFailure Code = dnsmessage.RCodeServerFailure
	NoSuchName    Code = dnsmessage.RCodeNameError
	Refused       Code = dnsmessage.RCodeRefused
)

// Parse reads a message. With a question, reply is nil; without, reply answers the
// client at once, or is nil as well if the message deserves none: it is too short
// or too long for a question, or itself an answer. With a reply refusal says what is wrong
// with the name whose address is asked for, as socks.ParseHost does, without the name; nil:
// nothing is, or none is.
func Parse(msg []byte) (q *Question, reply []byte, refusal error) {
	if len(msg) > MaxMessage {
		return nil, nil, nil
	}
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.Response {
		return nil, nil, nil
	}
	q = &Question{id: h.ID, desired: h.RecursionDesired}
	if h.OpCode != 0 {
		return nil, q.message(dnsmessage.RCodeNotImplemented, h.OpCode, false, nil), nil
	}
	q.question, err = p.Question()
	if err != nil {
		return nil, q.message(dnsmessage.RCodeFormatError, 0, false, nil), nil
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return nil, q.message(dnsmessage.RCodeFormatError, 0, false, nil), nil
	}
	if q.question.Class != dnsmessage.ClassINET {
		return nil, q.Fail(dnsmessage.RCodeNotImplemented), nil
	}
	if code, refusal := q.understand(); code != 0 {
		return nil, q.Fail(code), refusal
	}
	return q, nil, nil
}

// understand reads what is asked for; a code other than 0 is how that fails.
func (q *Question) understand() (code Code, refusal error) {
	name := q.question.Name.String()
	switch q.question.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
		host, isIP, err := socks.ParseHost(name)
		if isIP {
			err = socks.ErrHost
		}
		if err != nil {
			return NoSuchName, err
		}
		q.Host, q.IPv6 = host, q.question.Type == dnsmessage.TypeAAAA
	case dnsmessage.TypePTR:
		addr, ok := cell.ParseReverseName(trimDot(name))
		if !ok {
			return NoSuchName, nil
		}
		q.Reverse = addr
	default:
		return dnsmessage.RCodeNotImplemented, nil
	}
	return 0, nil
}

func trimDot(s string) string {
	if n := len(s); n > 0 && s[n-1] == '.' {
		return s[:n-1]
	}
	return s
}

// Fail is the answer with a code and nothing else.
func (q *Question) Fail(code Code) []byte { return q.message(code, 0, true, nil) }

// Answer is the answer with those of all that are of the type asked for; none, and
// the name exists without any. A name must be a host name.
func (q *Question) Answer(all []cell.Answer) []byte { return q.message(0, 0, true, all) }

// message builds an answer. What cannot be built is nil: the builder fails only on
// names that are too long, and those were read from a message.
func (q *Question) message(code Code, op dnsmessage.OpCode, withQuestion bool, all []cell.Answer) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{
		ID: q.id, Response: true, OpCode: op, RCode: code, RecursionDesired: q.desired, RecursionAvailable: true,
	})
	b.EnableCompression()
	var failed []error
	note := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	if withQuestion {
		note(b.StartQuestions())
		note(b.Question(q.question))
		note(b.StartAnswers())
		n := 0
		for _, a := range all {
			if n < maxAnswers && q.add(&b, a, note) {
				n++
			}
		}
	}
	out, err := b.Finish()
	if note(err); len(failed) > 0 {
		return nil
	}
	return out
}

// add adds an answer that is of the type asked for.
func (q *Question) add(b *dnsmessage.Builder, a cell.Answer, note func(error)) bool {
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: shortTTL}
	if a.TTL != cell.TTLUnknown && a.TTL >= shortTTL {
		h.TTL = longTTL
	}
	switch {
	case a.Addr.Is4() && q.question.Type == dnsmessage.TypeA:
		note(b.AResource(h, dnsmessage.AResource{A: a.Addr.As4()}))
	case a.Addr.Is6() && q.question.Type == dnsmessage.TypeAAAA:
		note(b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.Addr.As16()}))
	case a.Name != "" && q.question.Type == dnsmessage.TypePTR:
		name, err := dnsmessage.NewName(a.Name + ".")
		if err != nil {
			return false
		}
		note(b.PTRResource(h, dnsmessage.PTRResource{PTR: name}))
	default:
		return false
	}
	return true
}
