package netdoc

// Params are the network parameters of a consensus (dir-spec 3.4.1 "params"; meanings in param-spec).
type Params map[string]int32

// Get is the named parameter clamped to [low, high], or def when the consensus does not set it. The default is
// clamped as well, so a caller never sees a value outside its range.
func (p Params) Get(name string, def, low, high int32) int32 {
	v, ok := p[name]
	if !ok {
		v = def
	}
	return max(low, min(v, high))
}

// Weights are the bandwidth weights of a consensus: "Wgg", "Wgm" … (dir-spec 3.4.1 "bandwidth-weights").
type Weights map[string]int32

// DefaultWeightScale is what bandwidth weights are divided by when "bwweightscale" is not set (dir-spec 3.8.3).
const DefaultWeightScale = 10000

// maxParams bounds both lists; the live network has some sixty.
const maxParams = 4096

// parseParams reads "name=int32" pairs. As in C tor a bad or repeated entry refuses the document: the list is
// produced by authorities alone, so an odd one is no accident. The order is not checked.
func parseParams(args fields) (map[string]int32, error) {
	params := make(map[string]int32)
	for {
		arg := args.next()
		if arg == nil {
			return params, nil
		}
		name, value, ok := cutByte(arg, '=')
		n, okInt := parseInt32(value)
		if !ok || !okInt || len(name) == 0 {
			return nil, malformed("bad parameter %q", clip(arg))
		}
		if _, dup := params[string(name)]; dup {
			return nil, malformed("parameter %q given twice", clip(name))
		}
		if len(params) == maxParams {
			return nil, ErrTooLarge
		}
		params[string(name)] = n
	}
}
