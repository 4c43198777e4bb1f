package descriptor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"chive/tor/cell"
	"chive/tor/cert"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/pow"
)

// MaxIntroPoints is how many introduction points a descriptor may list
// (rend-spec-v3 section 2.5.4).
const MaxIntroPoints = 20

// Descriptor is what a service tells its clients.
type Descriptor struct {
	// Handshakes are the CREATE2 types that the service can use to reach a
	// rendezvous point; ntor (2) is always among them.
	Handshakes []uint16
	// IntroAuth lists the kinds of authentication that the service wants in
	// INTRODUCE1; nobody uses it today.
	IntroAuth []string
	// SingleOnion says that the service is not anonymous (proposal 260).
	SingleOnion bool
	// FlowControl is nil when the service does not offer congestion control.
	FlowControl *FlowControl
	// Protocols are further capabilities (line "proto").
	Protocols netdoc.Protocols
	// PoW is nil when no proof of work is asked for.
	PoW *pow.Params

	Intros []IntroPoint
	// Refused counts introduction points of the text that break the rules and
	// are not in Intros.
	Refused int
}

// FlowControl is the offer of congestion control between client and service
// (proposal 324).
type FlowControl struct {
	Versions  netdoc.Protocols // of FlowCtrl alone
	SendmeInc uint8            // cells a SENDME acknowledges; the caller compares with the consensus
}

// IntroPoint is one relay at which the service can be introduced to.
type IntroPoint struct {
	// Specs name the relay; they go into EXTEND2 as they are, in this order.
	Specs    []cell.LinkSpec
	OnionKey [32]byte // the relay's ntor key
	AuthKey  [32]byte // Ed25519, names the introduction circuit (KP_hs_ipt_sid)
	EncKey   [32]byte // curve25519, the service's for this circuit (KP_hss_ntor)
}

// errIntro says why an introduction point is left out.
var errIntro = errors.New("unusable introduction point")

const introKeyword = "introduction-point"

// parseInner reads the second layer's plaintext.
func (s *Sealed) parseInner(text []byte, now time.Time) (*Descriptor, error) {
	items, err := netdoc.Items("descriptor's second layer", text, maxAccepted, maxItems)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	head, intros := sections(items)
	d := new(Descriptor)
	if err := d.parseHead(head); err != nil {
		return nil, err
	}
	if len(intros) > MaxIntroPoints {
		return nil, fmt.Errorf("%w: %d introduction points", ErrMalformed, len(intros))
	}
	for _, section := range intros {
		ip, err := s.parseIntro(section, now)
		if err != nil {
			d.Refused++
			continue
		}
		d.Intros = append(d.Intros, ip)
	}
	return d, nil
}

// sections cuts the items before each introduction point.
func sections(items []netdoc.Item) (head document, intros []document) {
	start := 0
	for i := 0; i <= len(items); i++ {
		if i < len(items) && items[i].Keyword != introKeyword {
			continue
		}
		if start == 0 && (len(items) == 0 || items[0].Keyword != introKeyword) {
			head = items[:i]
		} else if i > start {
			intros = append(intros, items[start:i])
		}
		start = i
	}
	return head, intros
}

func (d *Descriptor) parseHead(head document) error {
	if len(head) == 0 || head[0].Keyword != "create2-formats" {
		return fmt.Errorf("%w: does not begin with create2-formats", ErrMalformed)
	}
	if err := head.once("create2-formats"); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, it := range head {
		if parse := headLines[it.Keyword]; parse != nil {
			if seen[it.Keyword] && it.Keyword != "pow-params" {
				return fmt.Errorf("%w: two lines %q", ErrMalformed, it.Keyword)
			}
			seen[it.Keyword] = true
			if err := parse(d, it.Args); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrMalformed, it.Keyword, err)
			}
		}
	}
	return nil
}

var (
	errArguments = errors.New("bad arguments")
	errNtor      = errors.New("ntor is not among them")
)

// headLines are the lines before the introduction points that are understood.
var headLines = map[string]func(*Descriptor, []string) error{
	"create2-formats": func(d *Descriptor, args []string) error {
		ntor := false
		for _, arg := range args {
			if n, err := strconv.ParseUint(arg, 10, 16); err == nil {
				d.Handshakes = append(d.Handshakes, uint16(n))
				ntor = ntor || n == 2
			}
		}
		if !ntor {
			return errNtor
		}
		return nil
	},
	"intro-auth-required": func(d *Descriptor, args []string) error {
		d.IntroAuth = args
		return nil
	},
	"single-onion-service": func(d *Descriptor, _ []string) error {
		d.SingleOnion = true
		return nil
	},
	"flow-control": func(d *Descriptor, args []string) error {
		if len(args) < 2 {
			return errArguments
		}
		versions, err := netdoc.ParseProtocols("FlowCtrl=" + args[0])
		if err != nil {
			return err
		}
		inc, err := strconv.ParseUint(args[1], 10, 8)
		if err != nil || inc == 0 {
			return errArguments
		}
		d.FlowControl = &FlowControl{Versions: versions, SendmeInc: uint8(inc)}
		return nil
	},
	"proto": func(d *Descriptor, args []string) (err error) {
		list := ""
		for _, arg := range args {
			list += " " + arg
		}
		d.Protocols, err = netdoc.ParseProtocols(list)
		return err
	},
	"pow-params": func(d *Descriptor, args []string) error {
		p, err := pow.ParseParams(args)
		switch {
		case errors.Is(err, pow.ErrScheme) && len(args) > 0:
			return nil // one that we do not know
		case err != nil:
			return err
		case d.PoW != nil:
			return errArguments
		}
		d.PoW = &p
		return nil
	},
}

// parseIntro reads one introduction point and checks its certificates.
//
// The certificate of the encryption key certifies the key's Ed25519 form, made
// since always with the signing key instead of the other way round (section
// 2.5.2.2). It binds nothing that the descriptor's signature does not, so, as C tor
// does, its signature is checked and its contents are not.
func (s *Sealed) parseIntro(section document, now time.Time) (ip IntroPoint, err error) {
	if err := section.once(introKeyword, "auth-key", "enc-key-cert"); err != nil {
		return ip, err
	}
	if ip.Specs, err = parseSpecs(section.arg(introKeyword)); err != nil {
		return ip, err
	}
	if !section.ntorKey("onion-key", &ip.OnionKey) || !section.ntorKey("enc-key", &ip.EncKey) {
		return ip, errIntro
	}
	auth, err := s.introCert(section, "auth-key", cert.TypeHSIntroAuth, now)
	if err != nil {
		return ip, err
	}
	if ip.AuthKey = auth.Key; !onion.ValidKey(ip.AuthKey) {
		return ip, errIntro
	}
	_, err = s.introCert(section, "enc-key-cert", cert.TypeHSIntroEnc, now)
	return ip, err
}

func (s *Sealed) introCert(section document, keyword string, kind cert.Type, now time.Time) (*cert.Ed25519, error) {
	object, err := section.object(keyword, certType)
	if err != nil {
		return nil, err
	}
	c, err := parseCert(object, kind)
	if err != nil {
		return nil, err
	}
	return c, c.Verify(s.signing, now)
}

// parseSpecs reads the link specifiers of a relay: an address and an RSA identity
// at least, as EXTEND2 needs them.
func parseSpecs(text string) ([]cell.LinkSpec, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errIntro
	}
	specs, rest, err := cell.ParseLinkSpecs(raw)
	if err != nil || len(rest) > 0 {
		return nil, errIntro
	}
	addr, rsa := false, false
	for _, spec := range specs {
		addr = addr || spec.Type == cell.LinkSpecIPv4 || spec.Type == cell.LinkSpecIPv6
		rsa = rsa || spec.Type == cell.LinkSpecRSA
	}
	if !addr || !rsa {
		return nil, errIntro
	}
	return specs, nil
}

// ntorKey reads the line "keyword ntor key", of which there must be exactly one;
// lines with other kinds of key are ignored.
func (d document) ntorKey(keyword string, dst *[32]byte) bool {
	found := 0
	for _, it := range d {
		if it.Keyword == keyword && len(it.Args) >= 2 && it.Args[0] == "ntor" {
			if found++; !netdoc.DecodeBase64(dst[:], it.Args[1]) {
				return false
			}
		}
	}
	return found == 1 && usablePoint(*dst)
}
