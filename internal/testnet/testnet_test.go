package testnet

import (
	"testing"
	"time"
)

func TestTrial(t *testing.T) {
	begin := time.Now()
	n := ForTest(t, Options{Progress: func(s string) { t.Logf("%6.2f %s", time.Since(begin).Seconds(), s) }})
	t.Log(n.Onion(), n.Target())
	c, err := n.StartClient(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(c.Bootstrap, c.SocksAddr)
}
