package testnet

import "testing"

func TestTrialCPU(t *testing.T) {
	n := ForTest(t, Options{Dir: "/tmp/tnx", Progress: func(s string) { t.Log(s) }})
	for _, x := range n.Nodes() {
		c, _ := n.CPU(x.PID)
		t.Log(x.Name, c)
	}
}
