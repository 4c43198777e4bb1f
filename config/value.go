package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// timeUnits are the units of tor(1), singular.
var timeUnits = []struct {
	name string
	size time.Duration
}{
	{"msec", time.Millisecond},
	{"millisecond", time.Millisecond},
	{"second", time.Second},
	{"minute", time.Minute},
	{"hour", time.Hour},
	{"day", day},
	{"week", 7 * day},
	{"month", 2629728 * time.Second},
}

// parseInterval reads "10 minutes", "1.5 hours" or, in the given unit, "30".
func parseInterval(s string, unit time.Duration) (time.Duration, error) {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	number, name := s[:end], strings.ToLower(strings.TrimSpace(s[end:]))
	if number == "" {
		return 0, fmt.Errorf("%q is not a time: write a number and a unit, as in 10 minutes", clip(s))
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", clip(number))
	}
	if name != "" {
		unit = 0
		for _, u := range timeUnits {
			if name == u.name || name == u.name+"s" {
				unit = u.size
			}
		}
		if unit == 0 {
			return 0, fmt.Errorf("unknown unit %q: use msec, seconds, minutes, hours, days, weeks or months", clip(name))
		}
	}
	if d := n * float64(unit); d < math.MaxInt64 {
		return time.Duration(math.Round(d)), nil
	}
	return 0, fmt.Errorf("%s is too long", clip(s))
}

// Interval writes a duration the way a torrc does: "10 minutes".
func Interval(d time.Duration) string {
	for i := len(timeUnits) - 2; i >= 0; i-- { // months are no whole number of days
		u := timeUnits[i]
		if d == 0 || u.size > d || d%u.size != 0 || u.name == "week" || u.name == "millisecond" {
			continue
		}
		if d == u.size {
			return "1 " + u.name
		}
		return fmt.Sprintf("%d %ss", d/u.size, u.name)
	}
	if d == 0 {
		return "0"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " seconds"
}

// defaultDataDirectory is shown as such; absolute expands it.
const defaultDataDirectory = "~/.local/share/chive"

func absolute(p string) (string, error) {
	if p == "" {
		return "", errors.New("needs a path")
	}
	p, err := ExpandHome(p)
	if err != nil {
		return "", err
	}
	return filepath.Abs(p)
}

// ExpandHome puts the home folder in the place of a "~" that a path begins with. As in a shell
// that is HOME; without one it is the folder of the user's entry in the password file.
func ExpandHome(p string) (string, error) {
	if p != "~" && !strings.HasPrefix(p, "~/") {
		return p, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		u, unknown := user.Current()
		if unknown != nil || u.HomeDir == "" {
			return "", fmt.Errorf("%s: no home folder: %w", p, err)
		}
		home = u.HomeDir
	}
	return filepath.Join(home, p[1:]), nil
}

// parsePort reads 1 to 65535.
func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port: 1 to 65535", clip(s))
	}
	return uint16(n), nil
}

// parseAddrPort reads IPV4:PORT or [IPV6]:PORT with a port that isn't 0.
func parseAddrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return a, fmt.Errorf("%q is not an address and port, as in 192.0.2.1:9001 or [2001:db8::1]:9001", clip(s))
	case a.Port() == 0:
		return a, fmt.Errorf("%q has port 0", clip(s))
	case a.Addr().Zone() != "":
		return a, fmt.Errorf("%q has a zone; write the address without it", clip(s))
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

func parseIPv6Port(s string) (netip.AddrPort, error) {
	a, err := parseAddrPort(s)
	if err == nil && !a.Addr().Is6() {
		err = fmt.Errorf("%q is not an IPv6 address and port, as in [2001:db8::1]:9001", clip(s))
	}
	return a, err
}

func parseFingerprint(s string) (f Fingerprint, err error) {
	s = strings.TrimPrefix(s, "$")
	if n, err := hex.Decode(f[:], []byte(first(s, 2*len(f)))); err != nil || n != len(f) || len(s) != 2*len(f) {
		return f, fmt.Errorf("%q is not a fingerprint of 40 hex digits", clip(s))
	}
	if f == (Fingerprint{}) {
		return f, errors.New("the fingerprint is all zero")
	}
	return f, nil
}

func first(s string, n int) string {
	if len(s) < n {
		return s
	}
	return s[:n]
}

// parseWeight reads a finite number from 0.
func parseWeight(s string) (float64, error) {
	w, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(w) || w < 0 || w > 1e15 {
		return 0, fmt.Errorf("%q is not a weight: a number from 0", clip(s))
	}
	return w, nil
}
