package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// limitOptions bound what the node uses.
var limitOptions = []Option{
	size(Option{
		Name: "BandwidthRate", Default: "1 GByte", Class: Hot, Effect: "At once, for open connections and streams too.",
		Doc:     "At most this many bytes a second on average, each way. The way in is counted where relays' data is read, directory documents included; the way out where applications' data is. While it is used up, nobody's data is dropped: the other side is made to wait.",
		Differs: "C tor counts the encrypted bytes of both ways.",
	}, 1<<10, 1<<40, func(c *Config) *int64 { return &c.BandwidthRate }),
	size(Option{
		Name: "BandwidthBurst", Default: "1 GByte", Class: Hot, Effect: "At once.",
		Doc: "At most this many bytes at once after a quiet time. No less than BandwidthRate; if only one of the two is given, the other follows.",
	}, 1<<10, 1<<40, func(c *Config) *int64 { return &c.BandwidthBurst }),
	number(Option{
		Name: "MaxClientCircuitsPending", Default: "32", Class: Hot, Effect: "From the next circuit on.",
		Doc: "At most this many circuits are being built at once; requests wait for their turn. One that lacks only a last hop that an onion service or its client named does not count.",
	}, "circuits", 1, 1024, func(c *Config) *int { return &c.MaxClientCircuitsPending }),
	number(Option{
		Name: "RelayBreakerFailures", Default: "5", Own: true, Class: Hot, Effect: "At once, counting what has failed.",
		Doc: "A relay to which this many connections failed in a row is not tried for RelayBreakerOpenTime (its circuit breaker is open); then one connection is tried. Half of ten in a minute open it too. It says when a relay is tried, never which one.",
	}, "failures", 1, 1000, func(c *Config) *int { return &c.RelayBreakerFailures }),
	interval(Option{
		Name: "RelayBreakerOpenTime", Default: "30 seconds", Own: true, Class: Hot, Effect: "At once, for open breakers too.",
		Doc: "How long a relay's breaker stays open before one connection is tried.",
	}, time.Second, time.Second, time.Hour, func(c *Config) *time.Duration { return &c.RelayBreakerOpenTime }),
	number(Option{
		Name: "CircuitRate", Default: "0", Own: true, Class: Hot, Effect: "From the next circuit on.",
		Doc: "At most this many new circuits a second on average; requests wait for theirs, at most SocksTimeout. 0 is no limit.",
	}, "circuits a second", 0, 10_000, func(c *Config) *int { return &c.CircuitRate }),
	number(Option{
		Name: "CircuitBurst", Default: "50", Own: true, Class: Hot, Effect: "From the next circuit on.",
		Doc: "How many circuits CircuitRate lets through at once after a quiet time.",
	}, "circuits", 1, 10_000, func(c *Config) *int { return &c.CircuitBurst }),
	number(Option{
		Name: "SocksRequestRate", Default: "0", Own: true, Class: Hot, Effect: "From the next request on.",
		Doc: "At most this many SOCKS requests a second on average, of all clients together; those beyond it are refused with the reply 01 and the outcome overloaded. 0 is no limit.",
	}, "requests a second", 0, 100_000, func(c *Config) *int { return &c.SocksRequestRate }),
	number(Option{
		Name: "SocksRequestBurst", Default: "200", Own: true, Class: Hot, Effect: "From the next request on.",
		Doc: "How many requests SocksRequestRate lets through at once after a quiet time.",
	}, "requests", 1, 100_000, func(c *Config) *int { return &c.SocksRequestBurst }),
	number(Option{
		Name: "DirectoryFetchRate", Default: "120", Own: true, Class: Hot, Effect: "From the next fetch on.",
		Doc: "At most this many requests to directories a minute on average; they wait for their turn. 0 is no limit.",
	}, "fetches a minute", 0, 100_000, func(c *Config) *int { return &c.DirectoryFetchRate }),
	number(Option{
		Name: "DirectoryFetchBurst", Default: "120", Own: true, Class: Hot, Effect: "From the next fetch on.",
		Doc: "How many directory requests DirectoryFetchRate lets through at once after a quiet time.",
	}, "fetches", 1, 100_000, func(c *Config) *int { return &c.DirectoryFetchBurst }),
	size(Option{
		Name: "MaxMemInQueues", Default: "512 MBytes", Class: Hot,
		Effect:  "At once: a lower value ends streams if it has to.",
		Doc:     "What may wait in queues: data that applications do not read, and data that circuits may not send yet. Beyond it the streams whose data has waited longest are ended (outcome overloaded) until a quarter is free, and meanwhile new SOCKS requests are refused with the reply 01. All nodes of one process share it.",
		Differs: "C tor's default depends on the machine's memory, and it ends circuits.",
	}, 16<<20, 1<<44, func(c *Config) *int64 { return &c.MaxMemInQueues }),
}

// sizeUnits are C tor's, in lower case; bits are eighths.
var sizeUnits = map[string]float64{
	"": 1, "b": 1, "byte": 1, "bytes": 1, "bit": 1.0 / 8, "bits": 1.0 / 8,
	"kb": 1 << 10, "kbyte": 1 << 10, "kbytes": 1 << 10, "kilobyte": 1 << 10, "kilobytes": 1 << 10, "kbit": 1 << 7, "kbits": 1 << 7, "kilobit": 1 << 7, "kilobits": 1 << 7,
	"m": 1 << 20, "mb": 1 << 20, "mbyte": 1 << 20, "mbytes": 1 << 20, "megabyte": 1 << 20, "megabytes": 1 << 20, "mbit": 1 << 17, "mbits": 1 << 17, "megabit": 1 << 17, "megabits": 1 << 17,
	"gb": 1 << 30, "gbyte": 1 << 30, "gbytes": 1 << 30, "gigabyte": 1 << 30, "gigabytes": 1 << 30, "gbit": 1 << 27, "gbits": 1 << 27, "gigabit": 1 << 27, "gigabits": 1 << 27,
	"tb": 1 << 40, "tbyte": 1 << 40, "tbytes": 1 << 40, "terabyte": 1 << 40, "terabytes": 1 << 40, "tbit": 1 << 37, "tbits": 1 << 37, "terabit": 1 << 37, "terabits": 1 << 37,
}

// parseSize reads a number of bytes with a unit; without one it counts bytes.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t")
	unit, known := sizeUnits[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || n < 0 || math.IsNaN(n) || strings.ContainsAny(digits, "_xXpP+") {
		return 0, fmt.Errorf("%q is not a size: write a number and bytes, KBytes, MBytes, GBytes or TBytes", clip(s))
	}
	if n *= unit; n >= math.MaxInt64 {
		return math.MaxInt64, nil
	}
	return int64(n), nil
}

// Size writes a number of bytes as a torrc does.
func Size(n int64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "TByte"}, {30, "GByte"}, {20, "MByte"}, {10, "KByte"}} {
		if whole := n >> u.shift; whole > 0 && whole<<u.shift == n {
			if whole == 1 {
				return "1 " + u.name
			}
			return fmt.Sprintf("%d %ss", whole, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// size is a number of bytes from least to most.
func size(o Option, least, most int64, field func(*Config) *int64) Option {
	o.Type, o.Unit = "size", "bytes"
	o.Range = fmt.Sprintf("%s to %s", Size(least), Size(most))
	o.apply = func(b *builder, l Line) {
		n, err := parseSize(l.Value)
		switch {
		case err != nil:
			b.fail(l, ErrValue, "%v", err)
		case n < least || n > most:
			b.fail(l, ErrValue, "%s is out of range: %s", clip(l.Value), o.Range)
		default:
			*field(&b.cfg) = n
		}
	}
	o.show = func(c *Config) []string { return []string{Size(*field(c))} }
	o.keep = func(dst, running *Config) { *field(dst) = *field(running) }
	return o
}

// checkLimits refuses a burst and a rate that contradict each other. If only one
// of them is given, the other follows.
func (b *builder) checkLimits() {
	c := &b.cfg
	if c.BandwidthBurst >= c.BandwidthRate {
		return
	}
	l, burst := b.set["BandwidthBurst"]
	_, rate := b.set["BandwidthRate"]
	switch {
	case burst && rate:
		b.fail(l, ErrConflict, "BandwidthBurst %s is less than BandwidthRate %s", Size(c.BandwidthBurst), Size(c.BandwidthRate))
	case burst:
		c.BandwidthRate = c.BandwidthBurst
	default:
		c.BandwidthBurst = c.BandwidthRate
	}
}
