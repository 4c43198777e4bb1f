// Package netdoctest makes Tor networks of any size for tests: relays with keys, microdescriptors, authorities
// with certificates, and a consensus that they sign. Equal options give equal bytes.
//
//	n := netdoctest.New(netdoctest.Options{Relays: 20, Authorities: 3})
//	c, err := netdoc.ParseConsensus(n.Consensus)
//	certs, err := netdoc.ParseAuthCerts(n.Certs)
//	report, err := c.Verify(n.V3Idents, certs, n.ValidAfter)
//
// Options.Relay changes a relay before anything is written of it. For wrong documents, change the text and have it
// signed again (Sign), or leave signatures out (ConsensusSignedBy), or issue another certificate (Authority.Cert).
//
// The keys are weak on purpose (small and predictable). No product code may import this package, and documents
// made here prove nothing about the parser's reading of the real network: that is what testdata is for.
package netdoctest
