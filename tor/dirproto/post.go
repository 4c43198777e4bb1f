package dirproto

import (
	"fmt"
	"io"
)

// MaxDescriptor bounds what is published, in bytes.
const MaxDescriptor = 1 << 20

// AppendPublish writes the request that gives an onion service's descriptor to a directory
// (rend-spec-v3 section 2.2.6).
func AppendPublish(dst, descriptor []byte) []byte {
	dst = fmt.Appendf(dst, "POST /tor/hs/3/publish HTTP/1.0\r\nContent-Length: %d\r\n\r\n", len(descriptor))
	return append(dst, descriptor...)
}

// publishLimits are far above what a directory has to say to a publication.
var publishLimits = Limits{Header: 16 << 10, Body: 64 << 10, Ratio: 50}

// ReadPublished reads the answer; the descriptor was taken if it is 200.
func ReadPublished(r io.Reader) (status int, err error) {
	res, err := ReadResponse(r, publishLimits)
	if err != nil {
		return 0, err
	}
	return res.Status, nil
}
