package directory

import (
	"testing"

	"chive/tor/netdoc"
)

// An authority may renew its certificate and keep the key that it signs with (tor-gencert
// --reuse): one that has expired is asked for again, and the new one takes its place, also
// for the next start.
func TestRenewedCertificates(t *testing.T) {
	n := &network{docs: documents()}
	var old []byte
	for _, a := range n.docs.Authorities {
		old = append(old, a.Cert(n.docs.ValidAfter.AddDate(-1, 0, 0), n.docs.ValidAfter.AddDate(0, 0, -1))...)
	}
	dir := t.TempDir()
	b := newBench(t, n, dir, duringValidity(n.docs))
	b.save(fileCerts, old)
	b.load()
	if len(b.certs) != len(n.docs.Authorities) {
		t.Fatalf("%d certificates in the cache", len(b.certs))
	}
	if err := b.once(t); err != nil || !b.enough() {
		t.Fatalf("%v, rejected %v", err, b.rejected())
	}
	text, err := b.store.read(fileCerts)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := netdoc.ParseAuthCerts(text)
	if err != nil || len(certs) != len(n.docs.Authorities) {
		t.Fatalf("%d certificates are cached, %v", len(certs), err)
	}
	for _, c := range certs {
		if err := c.CheckTime(duringValidity(n.docs)); err != nil {
			t.Errorf("a cached certificate: %v", err)
		}
	}
	asked := len(n.asked)
	n.docs.Certs = old // whoever still has the old one does not bring it back
	certs, err = netdoc.ParseAuthCerts(old)
	if err != nil {
		t.Fatal(err)
	}
	b.addCerts(certs)
	if _, missing, err := b.accept(n.docs.Consensus); err != nil || len(missing) > 0 || len(n.asked) != asked {
		t.Errorf("%d missing, %v", len(missing), err)
	}
}
