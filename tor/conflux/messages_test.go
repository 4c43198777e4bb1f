package conflux

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"chive/tor/cell"
	"chive/tor/netdoc"
)

func TestLinkBody(t *testing.T) {
	l := Link{Sent: 1, Received: 0x0102030405060708, UX: HighThroughput}
	for i := range l.Nonce {
		l.Nonce[i] = byte(i)
	}
	body := l.Append(nil)
	const want = "01" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"0000000000000001" + "0102030405060708" + "03"
	if got := hex.EncodeToString(body); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	if got, err := ParseLink(append(body, "of a later version"...)); err != nil || got != l {
		t.Errorf("%+v, %v", got, err)
	}
	for i, tt := range []struct {
		body []byte
		want error
	}{
		{nil, cell.ErrTruncated},
		{body[:len(body)-1], cell.ErrTruncated},
		{append([]byte{0}, body[1:]...), cell.ErrMalformed},
		{append([]byte{2}, body[1:]...), cell.ErrMalformed},
		{append(body[:len(body)-1:len(body)-1], 5), cell.ErrMalformed},
	} {
		if _, err := ParseLink(tt.body); !errors.Is(err, tt.want) {
			t.Errorf("case %d: %v, want %v", i, err, tt.want)
		}
	}
}

func TestSwitchBody(t *testing.T) {
	body := AppendSwitch(nil, 0x01020304)
	if !bytes.Equal(body, []byte{1, 2, 3, 4}) {
		t.Errorf("% x", body)
	}
	if n, err := ParseSwitch(body); err != nil || n != 0x01020304 {
		t.Error(n, err)
	}
	if _, err := ParseSwitch(body[:3]); !errors.Is(err, cell.ErrTruncated) {
		t.Error(err)
	}
}

func FuzzParseLink(f *testing.F) {
	l := Link{UX: MinLatency, Sent: 7}
	f.Add(l.Append(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ParseLink(body)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(body, got.Append(nil)) {
			t.Errorf("%x is read as %+v", body, got)
		}
	})
}

func FuzzParseSwitch(f *testing.F) {
	f.Add([]byte{0, 0, 0, 31})
	f.Fuzz(func(t *testing.T, body []byte) {
		if n, err := ParseSwitch(body); err == nil && !bytes.HasPrefix(body, AppendSwitch(nil, n)) {
			t.Errorf("%x is read as %d", body, n)
		}
	})
}

// proposal 329, 2.4.1, and C tor: what has a place in the sequence.
func TestSequenced(t *testing.T) {
	in := map[cell.RelayCommand]bool{
		cell.RelayBegin: true, cell.RelayData: true, cell.RelayEnd: true, cell.RelayConnected: true,
		cell.RelayResolve: true, cell.RelayResolved: true, cell.RelayXon: true, cell.RelayXoff: true,
	}
	for c := range 256 {
		if c := cell.RelayCommand(c); Sequenced(c) != in[c] {
			t.Errorf("%v: %v", c, Sequenced(c))
		}
	}
}

func TestParams(t *testing.T) {
	std := Params{Enabled: true, MaxSets: 10, Prebuilt: 3, LowExits: 0.6, Legs: 2, Retries: 3, MaxWaiting: 32 << 20}
	if got := ParamsOf(nil); got != std {
		t.Errorf("%+v", got)
	}
	got := ParamsOf(netdoc.Params{
		"cfx_enabled": 0, "cfx_max_linked_set": 7, "cfx_max_prebuilt_set": 1, "cfx_low_exit_threshold": 5000,
		"cfx_num_legs_set": 200, "cfx_max_legs_set": 200, "cfx_max_unlinked_leg_retry": 200, "cfx_max_oooq_bytes": 1 << 30,
	})
	if want := (Params{MaxSets: 7, Prebuilt: 1, LowExits: 0.5, Legs: 8, Retries: 8, MaxWaiting: 32 << 20}); got != want {
		t.Errorf("%+v", got)
	}
	off, single := std, std
	off.Enabled, single.Legs = false, 1
	for _, tt := range []struct {
		p               Params
		able, all, want int
	}{
		{std, 6, 10, 3}, {std, 5, 10, 1}, {std, 0, 10, 0}, {std, 0, 0, 0}, {off, 10, 10, 0}, {single, 10, 10, 0},
	} {
		if got := tt.p.Ready(tt.able, tt.all); got != tt.want {
			t.Errorf("%d of %d exits: %d sets are kept ready, want %d", tt.able, tt.all, got, tt.want)
		}
	}
}
