package keyfile

import (
	"fmt"
	"slices"
	"strings"

	"chive/tor/onion"
)

// BalanceFile is, in the directory of a backend of OnionBalance, where its masters are
// named, as C tor has it.
const BalanceFile = "ob_config"

const masterAddress = "MasterOnionAddress"

// ParseBalance reads the content of BalanceFile: lines `MasterOnionAddress
// <address>.onion`, comments and empty lines. It gives at least one address. The error
// never repeats one.
func ParseBalance(b []byte) ([]onion.Address, error) {
	var masters []onion.Address
	for i, line := range strings.Split(string(b), "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 || !strings.EqualFold(words[0], masterAddress) {
			return nil, fmt.Errorf("%s: %w: line %d is not %q", BalanceFile, ErrMalformed, i+1, masterAddress+" ADDRESS.onion")
		}
		a, err := onion.ParseAddress(words[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w: line %d: %w", BalanceFile, ErrMalformed, i+1, err)
		}
		if !slices.Contains(masters, a) {
			masters = append(masters, a)
		}
	}
	if len(masters) == 0 {
		return nil, fmt.Errorf("%s: %w: it names no %s", BalanceFile, ErrMalformed, masterAddress)
	}
	return masters, nil
}
