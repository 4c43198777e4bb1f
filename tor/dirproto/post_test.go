package dirproto

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestPublish(t *testing.T) {
	text := "hs-descriptor 3\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(AppendPublish(nil, []byte(text))))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != "POST" || r.URL.Path != "/tor/hs/3/publish" || string(body) != text {
		t.Errorf("%s %s %q %v", r.Method, r.URL, body, err)
	}
	for answer, want := range map[string]int{
		"HTTP/1.0 200 HS descriptor stored successfully.\r\n\r\n": 200, "HTTP/1.0 400 Bad\r\n\r\nbody": 400,
		"HTTP/1.0 200\r\nContent-Length: 9\r\n\r\nshort": 0, "nonsense": 0, "": 0,
		"HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("x", 100<<10): 0,
	} {
		if got, err := ReadPublished(strings.NewReader(answer)); got != want || (err == nil) != (want > 0) {
			t.Errorf("%.40q: %d, %v", answer, got, err)
		}
	}
}
