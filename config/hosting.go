package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// OnionService is one onion service that the node hosts.
type OnionService struct {
	Dir                   string // absolute
	DirGroupReadable      bool
	Ports                 []OnionPort // at least one
	IntroductionPoints    int         // 1 to 20
	MaxStreams            int         // of one client's circuit; 0: no limit
	MaxStreamsCloseClient bool        // one more than that closes the circuit
	AllowUnknownPorts     bool        // a stream to no port of ours does not close the circuit
	IntroDoS              bool        // introduction points are asked to slow clients down
	IntroDoSRate          int         // INTRODUCE2 a second; 0: as many as come
	IntroDoSBurst         int
	PoW                   bool // clients may have to pay
	PoWRate               int  // of those who pay, met a second; 0: as fast as can be
	PoWBurst              int
	OnionBalance          bool // clients of the services that ob_config names are met as well
	ExportCircuitID       bool // the target is told in a PROXY line whose stream it is
	Shared                bool // with other nodes of the fleet

	From Origin // who says that it is hosted: the layer of its HiddenServiceDir
}

// Equal reports whether two are alike in all that is said of them.
func (s *OnionService) Equal(o *OnionService) bool { return reflect.DeepEqual(s, o) }

// OnionPort leads a port of a service to where it is served.
type OnionPort struct {
	Port   uint16
	Target netip.AddrPort // zero if Path is set
	Path   string         // of a unix socket, absolute
}

// String is the value of a HiddenServicePort line.
func (p OnionPort) String() string { return fmt.Sprintf("%d %s", p.Port, p.To()) }

// To is where it leads to, as in such a line.
func (p OnionPort) To() string {
	if p.Path != "" {
		return "unix:" + quotePath(p.Path)
	}
	return p.Target.String()
}

func quotePath(path string) string {
	if strings.ContainsAny(path, " \t\";") {
		return quote(path)
	}
	return path
}

const (
	// MaxOnionServices is how many services one node hosts at most.
	MaxOnionServices = 256
	maxOnionPorts    = 1024
	maxOnionStreams  = 65535
	maxIntroRate     = 1<<31 - 1

	serviceDir    = "HiddenServiceDir"
	deniedService = "what this machine serves, and to whom, is its operator's choice"
	serviceEffect = "At once, for the service alone: streams that are open go on."
	belongs       = " Belongs to the HiddenServiceDir line before it."
)

// setting is an option of one service.
type setting struct {
	Option
	set func(*OnionService, string) error
	// show gives the values that say what is not the default.
	show func(*OnionService) []string
}

var serviceDefaults = OnionService{
	IntroductionPoints: 3, IntroDoSRate: 25, IntroDoSBurst: 200, PoWRate: 250, PoWBurst: 2500,
}

// serviceSettings are the options of one service, in the order in which they are shown.
var serviceSettings = []setting{
	{Option{
		Name: "HiddenServicePort", Type: "port", Effect: "At once: the next stream goes there, and open ones go on.",
		Range:   "PORT [[ADDRESS:]PORT | ADDRESS | unix:PATH]",
		Doc:     "A port that clients of the service may connect to, and where it is served: by default at the same port of 127.0.0.1. Several lines with one port share its streams at random." + belongs,
		Differs: "A host name other than localhost is refused.",
	}, setServicePort, func(s *OnionService) (out []string) {
		for _, p := range s.Ports {
			out = append(out, p.String())
		}
		return out
	}},
	{Option{
		Name: "HiddenServiceVersion", Default: "3", Type: "version", Range: "3", Effect: serviceEffect,
		Doc: "The version of the service. There is one." + belongs,
	}, func(_ *OnionService, v string) error {
		if v != "3" {
			return fmt.Errorf("version %q: version 3 is the only one there is", clip(v))
		}
		return nil
	}, func(*OnionService) []string { return nil }},
	serviceSwitch("HiddenServiceDirGroupReadable", "The group may read the folder and the file `hostname`, but no key.",
		func(s *OnionService) *bool { return &s.DirGroupReadable }),
	serviceNumber("HiddenServiceNumIntroductionPoints", "points", "How many introduction points the service keeps.", "0, which publishes nothing, is refused.", 1, 20,
		func(s *OnionService) *int { return &s.IntroductionPoints }),
	serviceNumber("HiddenServiceMaxStreams", "streams", "How many streams a client may have open on one circuit; what he begins beyond is refused. 0 is no limit.", "", 0, maxOnionStreams,
		func(s *OnionService) *int { return &s.MaxStreams }),
	serviceSwitch("HiddenServiceMaxStreamsCloseCircuit", "A client who begins more streams than HiddenServiceMaxStreams loses his circuit.",
		func(s *OnionService) *bool { return &s.MaxStreamsCloseClient }),
	serviceSwitch("HiddenServiceAllowUnknownPorts", "A stream to a port that the service does not have is refused. At 0 the client loses his circuit as well, which slows down whoever looks for open ports.",
		func(s *OnionService) *bool { return &s.AllowUnknownPorts }),
	serviceSwitch("HiddenServiceEnableIntroDoSDefense", "Ask introduction points that can to let no more introductions through than HiddenServiceEnableIntroDoSRatePerSec and BurstPerSec say. Without, relays do as the consensus says. A change makes new introduction points.",
		func(s *OnionService) *bool { return &s.IntroDoS }),
	serviceNumber("HiddenServiceEnableIntroDoSRatePerSec", "introductions a second", "See HiddenServiceEnableIntroDoSDefense. 0 is as many as come.", "", 0, maxIntroRate,
		func(s *OnionService) *int { return &s.IntroDoSRate }),
	serviceNumber("HiddenServiceEnableIntroDoSBurstPerSec", "introductions", "See HiddenServiceEnableIntroDoSDefense: so many at once. No less than the rate; 0 is as many as come.", "", 0, maxIntroRate,
		func(s *OnionService) *int { return &s.IntroDoSBurst }),
	serviceSwitch("HiddenServicePoWDefensesEnabled", "Offer clients to pay with a proof of work while the service is under load: who pays most is met first.",
		func(s *OnionService) *bool { return &s.PoW }),
	serviceNumber("HiddenServicePoWQueueRate", "clients a second", "How many clients are met a second, with HiddenServicePoWDefensesEnabled 1. 0 is as fast as can be.", "", 0, maxIntroRate,
		func(s *OnionService) *int { return &s.PoWRate }),
	serviceNumber("HiddenServicePoWQueueBurst", "clients", "So many at once. No less than the rate.", "", 0, maxIntroRate,
		func(s *OnionService) *int { return &s.PoWBurst }),
	serviceSwitch("HiddenServiceOnionBalanceInstance", "The service is a backend of an OnionBalance frontend: clients who read the frontend's descriptor, which lists introduction points of this service, are met as its own are. The service's folder must have the file ob_config with a line `MasterOnionAddress ADDRESS.onion` for each frontend, eight at most; it is read again at each reload.",
		func(s *OnionService) *bool { return &s.OnionBalance }),
	{Option{
		Name: "HiddenServiceExportCircuitID", Default: "none", Type: "protocol", Range: "none or haproxy", Effect: serviceEffect,
		Doc:     "haproxy: the first line that the target gets of each stream is a header of the PROXY protocol, version 1, `PROXY TCP6 fc00:dead:beef:4dad::AABB:CCDD ::1 …`, by which it can tell clients' circuits from each other: 0xAABBCCDD is a number for one circuit, which the event `met` of the service has as well. The target must expect the line." + belongs,
		Differs: "The number is given to a client's circuit when he is met; numbers of one run of chive differ from those of another.",
	}, func(s *OnionService, v string) error {
		switch strings.ToLower(v) {
		case "none", "haproxy":
			s.ExportCircuitID = strings.EqualFold(v, "haproxy")
			return nil
		}
		return fmt.Errorf("%q is no protocol: write haproxy or none", clip(v))
	}, func(s *OnionService) []string {
		if s.ExportCircuitID {
			return []string{"haproxy"}
		}
		return nil
	}},
	ours(serviceSwitch("HiddenServiceShared", "Host the service together with other nodes of the fleet whose folders hold the same key: each has introduction points of its own, and one at a time publishes those of all.",
		func(s *OnionService) *bool { return &s.Shared })),
}

// ours is an option that C tor does not have.
func ours(s setting) setting {
	s.Own = true
	return s
}

func serviceSwitch(name, doc string, field func(*OnionService) *bool) setting {
	return setting{
		Option{Name: name, Type: "0|1", Default: digit(*field(&serviceDefaults)), Effect: serviceEffect, Doc: doc + belongs},
		func(s *OnionService, v string) error {
			if v != "0" && v != "1" {
				return fmt.Errorf("%q is not a switch: write 1 for yes or 0 for no", clip(v))
			}
			*field(s) = v == "1"
			return nil
		}, func(s *OnionService) []string {
			if *field(s) == *field(&serviceDefaults) {
				return nil
			}
			return []string{digit(*field(s))}
		},
	}
}

func serviceNumber(name, unit, doc, differs string, least, most int, field func(*OnionService) *int) setting {
	o := Option{
		Name: name, Type: "number", Unit: unit, Default: strconv.Itoa(*field(&serviceDefaults)),
		Range: fmt.Sprintf("%d to %d", least, most), Effect: serviceEffect, Doc: doc + belongs, Differs: differs,
	}
	return setting{o, func(s *OnionService, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q is not a whole number from %s", clip(v), o.Range)
		}
		*field(s) = n
		return nil
	}, func(s *OnionService) []string {
		if *field(s) == *field(&serviceDefaults) {
			return nil
		}
		return []string{strconv.Itoa(*field(s))}
	}}
}

// findSetting gives an option of services by name.
func findSetting(name string) *setting {
	for i := range serviceSettings {
		if strings.EqualFold(serviceSettings[i].Name, name) {
			return &serviceSettings[i]
		}
	}
	return nil
}

func settingNames() (names []string) {
	for _, o := range serviceSettings {
		names = append(names, o.Name)
	}
	return names
}

// hostingOptions are HiddenServiceDir and, so that they are known, those that belong to it:
// their values are part of its.
var hostingOptions = func() []Option {
	out := []Option{custom(Option{
		Name: serviceDir, Default: "", List: true, Class: Hot, RemoteDenied: deniedService,
		Effect: "At once: services are started and stopped, and those that stay are changed, while they run.",
		Range:  "FOLDER, then if wanted ; OPTION VALUE as often as needed",
		Doc: "Host an onion service whose keys are in this folder. It is made, with a new key, if it is not there, and is C tor's: hostname, hs_ed25519_secret_key, hs_ed25519_public_key, and authorized_clients, with a file NAME.auth for each client who may find the service; without one everybody may who knows its address. That folder is read again at each reload. In place of hs_ed25519_secret_key there may be chive_delegation, which chive onion delegate makes where that key is kept. " +
			"The options of the service follow, each on a line of its own, up to the next HiddenServiceDir; or behind semicolons on the same line, which is how they are given where lines have no order.",
		Differs: "A relative folder counts from the working directory. A file in authorized_clients that holds no key stops a service that has no other, instead of opening it to everybody.",
	}, "service", (*builder).onionService, func(c *Config) (out []string) {
		for i := range c.OnionServices {
			out = append(out, c.OnionServices[i].String())
		}
		return out
	})}
	for _, s := range serviceSettings {
		o := s.Option
		o.List, o.Class, o.RemoteDenied = true, Hot, deniedService
		o.apply = func(*builder, Line) {} // a default; lines are gathered by group
		o.show = func(*Config) []string { return nil }
		out = append(out, o)
	}
	return out
}()

// String is the value of a HiddenServiceDir line that gives the service again.
func (s *OnionService) String() string {
	var b strings.Builder
	b.WriteString(s.Dir)
	for i := range serviceSettings {
		for _, v := range serviceSettings[i].show(s) {
			b.WriteString("; " + serviceSettings[i].Name + " " + v)
		}
	}
	return b.String()
}

// gather puts an option of a service to the HiddenServiceDir of its layer that stands
// before it; it reports whether the line is one.
func (b *builder) gather(l Line, o *Option, groups map[string][]Line, here bool) bool {
	if findSetting(o.Name) == nil {
		return false
	}
	dirs := groups[serviceDir]
	if !here || len(dirs) == 0 {
		b.fail(l, ErrConflict, "belongs to no service: it needs a HiddenServiceDir before it, in the same place")
		return true
	}
	last := &dirs[len(dirs)-1]
	last.Of = append(last.Of, l)
	return true
}

func (b *builder) onionService(l Line) {
	parts := splitService(l.Value)
	dir, err := absolute(strings.Trim(parts[0], blank))
	if err != nil {
		b.fail(l, ErrValue, "%v", err)
		return
	}
	s := serviceDefaults
	s.Dir, s.From = filepath.Clean(dir), originOf(l.File)
	lines := make([]Line, 0, len(parts)-1+len(l.Of))
	for _, part := range parts[1:] {
		name, value := cutWord(strings.Trim(part, blank))
		lines = append(lines, Line{File: l.File, Number: l.Number, Key: name, Value: value})
	}
	if !b.serviceLines(&s, append(lines, l.Of...)) {
		return
	}
	switch c := &b.cfg; {
	case len(s.Ports) == 0:
		b.fail(l, ErrConflict, "the service has no HiddenServicePort")
	case l.Append && s.From >= FromOperator && slices.ContainsFunc(c.OnionServices, func(o OnionService) bool { return o.Dir == s.Dir }):
		b.warn(l, "%s is hosted without it: what is said there counts, and chive onion rm takes this one out", clip(s.Dir)) // it came there later
	case slices.ContainsFunc(c.OnionServices, func(o OnionService) bool { return o.Dir == s.Dir }):
		b.fail(l, ErrConflict, "given twice: one folder is one service")
	case len(c.OnionServices) >= MaxOnionServices:
		b.fail(l, ErrLimit, "more than %d services", MaxOnionServices)
	case b.serviceConflicts(l, &s):
		c.OnionServices = append(c.OnionServices, s)
	}
}

// ServiceFolder is the folder that a value of HiddenServiceDir names.
func ServiceFolder(value string) (string, error) {
	dir, err := absolute(strings.Trim(splitService(value)[0], blank))
	return filepath.Clean(dir), err
}

// originOf is the layer of a line.
func originOf(file string) Origin {
	if i := slices.Index(originNames[:], file); i > int(FromFile) {
		return Origin(i)
	}
	return FromFile
}

// checkShared refuses services that are shared with nobody.
func (b *builder) checkShared() {
	c := &b.cfg
	for i := range c.OnionServices {
		if s := &c.OnionServices[i]; s.Shared && !c.InFleet() {
			b.fail(b.set[serviceDir], ErrConflict, "%s: HiddenServiceShared 1 needs a fleet: set NatsUrl, NatsClusterListen or FleetConfigKey", clip(s.Dir))
		}
	}
}

// serviceLines applies the options of one service.
func (b *builder) serviceLines(s *OnionService, lines []Line) (ok bool) {
	ok = true
	seen := map[string]bool{}
	for _, l := range lines {
		o := findSetting(l.Key)
		if o == nil {
			e := l.errorf(ErrUnknown, "not an option of an onion service")
			e.Suggestion = nearest(l.Key, settingNames())
			b.errs = append(b.errs, e)
			return false
		}
		if seen[o.Name] && o.Name != "HiddenServicePort" {
			b.warn(l, "given twice for one service; only this one counts")
		}
		seen[o.Name] = true
		if err := o.set(s, l.Value); err != nil {
			b.fail(l, ErrValue, "%v", err)
			ok = false
		}
	}
	return ok
}

// splitService cuts at semicolons that are not within quotes.
func splitService(value string) (parts []string) {
	quoted, start := false, 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				parts = append(parts, value[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, value[start:])
}

func setServicePort(s *OnionService, value string) error {
	p, err := ParseOnionPort(value)
	if err != nil {
		return err
	}
	if len(s.Ports) >= maxOnionPorts {
		return fmt.Errorf("more than %d ports", maxOnionPorts)
	}
	s.Ports = append(s.Ports, p)
	return nil
}

// ParseOnionPort reads the value of a HiddenServicePort line. The error says what is wrong.
func ParseOnionPort(value string) (p OnionPort, err error) {
	word, target := cutWord(value)
	if p.Port, err = parsePort(word); err != nil {
		return OnionPort{}, err
	}
	target = strings.Trim(target, blank)
	if path, unix := strings.CutPrefix(target, "unix:"); unix {
		p.Path, err = unixTarget(path)
	} else if target != "" {
		p.Target, err = tcpTarget(target, p.Port)
	} else {
		p.Target = netip.AddrPortFrom(loopback4, p.Port)
	}
	if err != nil {
		return OnionPort{}, err
	}
	return p, nil
}

func unixTarget(path string) (string, error) {
	if strings.HasPrefix(path, `"`) {
		text, rest, err := unquote(path)
		if err != nil || strings.Trim(rest, blank) != "" {
			return "", fmt.Errorf("%q is not a quoted path", clip(path))
		}
		path = text
	}
	return absolute(path)
}

// tcpTarget reads PORT, ADDRESS or ADDRESS:PORT.
func tcpTarget(target string, port uint16) (netip.AddrPort, error) {
	if n, err := parsePort(target); err == nil {
		return netip.AddrPortFrom(loopback4, n), nil
	}
	const local = "localhost"
	if len(target) >= len(local) && strings.EqualFold(target[:len(local)], local) {
		target = loopback4.String() + target[len(local):]
	}
	if a, err := netip.ParseAddr(strings.Trim(target, "[]")); err == nil && a.Zone() == "" {
		return netip.AddrPortFrom(a.Unmap(), port), nil
	}
	a, err := parseAddrPort(target)
	if err != nil {
		return a, fmt.Errorf("%q is not a target: write a port, an address, an address and a port, or unix:PATH", clip(target))
	}
	return a, nil
}
