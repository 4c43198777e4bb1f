package testnet

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// An upload that had begun before anybody listened does not stand for one that is under way.
func TestUploadsThatBeganBefore(t *testing.T) {
	const (
		unseen = "650 HS_DESC UPLOADED a UNKNOWN D1\r\n"
		begun  = "650 HS_DESC UPLOAD b UNKNOWN D1 x\r\n650 HS_DESC UPLOAD b UNKNOWN D2 x\r\n650 HS_DESC UPLOADED b UNKNOWN D1\r\n"
		last   = "650 HS_DESC UPLOADED b UNKNOWN D2\r\n"
	)
	for _, tt := range []struct {
		events string
		all    bool
	}{{unseen + begun, false}, {unseen + begun + last, true}, {begun + last, false}, {begun + last + unseen, true}} {
		near, far := net.Pipe()
		go func() {
			_, _ = io.Copy(far, strings.NewReader(tt.events)) // who has heard enough reads no more
			far.Close()
		}()
		if err := waitUploads(&control{conn: near, r: bufio.NewReader(near)}, 2); (err == nil) != tt.all {
			t.Errorf("%q: %v", tt.events, err)
		}
		near.Close()
	}
}
