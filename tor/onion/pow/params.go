package pow

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Params is a descriptor's offer of proof of work.
type Params struct {
	Seed      Seed
	Suggested uint32    // effort to begin with; zero: none is asked for at present
	Expires   time.Time // when the seed does; from then on the descriptor is to be fetched anew
}

// ErrScheme says that the offer is of another proof of work than version 1. A
// client skips it.
var ErrScheme = errors.New("pow: the descriptor offers another proof of work than v1")

const (
	scheme     = "v1"
	timeLayout = "2006-01-02T15:04:05"
)

// ParseParams reads the arguments of a descriptor's pow-params line. Further
// arguments are ignored. The seed may or may not be padded: C tor pads it, the
// specification says not to.
func ParseParams(args []string) (Params, error) {
	if len(args) == 0 || args[0] != scheme {
		return Params{}, ErrScheme
	}
	if len(args) < 4 {
		return Params{}, fmt.Errorf("pow-params: %d arguments, not 4", len(args))
	}
	seed, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimSuffix(args[1], "="))
	if err != nil || len(seed) != len(Seed{}) {
		return Params{}, fmt.Errorf("pow-params: the seed is not 32 bytes in base64")
	}
	effort, err := strconv.ParseUint(args[2], 10, 32)
	if err != nil {
		return Params{}, fmt.Errorf("pow-params: suggested effort: %w", err)
	}
	expires, err := time.Parse(timeLayout, args[3])
	if err != nil || len(args[3]) != len(timeLayout) {
		return Params{}, fmt.Errorf("pow-params: the expiration is not of the form %s", timeLayout)
	}
	return Params{Seed: Seed(seed), Suggested: uint32(effort), Expires: expires}, nil
}

// String is the arguments of the pow-params line that offers p, as C tor
// writes them, the seed padded.
func (p Params) String() string {
	return fmt.Sprintf("%s %s %d %s", scheme, base64.StdEncoding.EncodeToString(p.Seed[:]),
		p.Suggested, p.Expires.UTC().Format(timeLayout))
}
