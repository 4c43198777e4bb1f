package cell

import "testing"

func TestParseBeginPort(t *testing.T) {
	for data, want := range map[string]uint16{
		":80\x00": 80, ":65535\x00\x00\x00\x00\x01": 65535, "service.onion:443\x00": 443, "[::1]:1\x00": 1,
		":0\x00": 0, ":65536\x00": 0, ":\x00": 0, "80\x00": 0, ":80": 0, "": 0, "\x00": 0, ":+80\x00": 0, ": 80\x00": 0, ":80 \x00": 0,
	} {
		if got, err := ParseBeginPort([]byte(data)); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", data, got, err)
		}
	}
	for _, port := range []uint16{1, 80, 65535} {
		if got, err := ParseBeginPort(AppendBeginPort(nil, port)); err != nil || got != port {
			t.Errorf("%d: %d, %v", port, got, err)
		}
	}
}

func FuzzParseBeginPort(f *testing.F) {
	f.Add([]byte(":80\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if port, err := ParseBeginPort(data); (err == nil) != (port > 0) {
			t.Errorf("%d, %v", port, err)
		}
	})
}
