// Package cert parses and verifies the certificates with which a relay proves
// its identities on a connection.
//
// A relay has two identity keys, RSA (1024 bits, legacy) and Ed25519. The
// chain that a CERTS cell carries ties both to the TLS session:
//
//	RSA identity ──7──▶ Ed25519 identity ──4──▶ signing key ──5──▶ TLS certificate
//	     └──2──▶ itself (X.509)
//
// where a number is the certificate's type. What a chain must hold is decided
// in tor/link; here each certificate is checked on its own:
//
//   - [Ed25519]: the compact certificates (types 4 to 6 and those of onion
//     services and descriptors), cert-spec section 2.1;
//   - [RSACross]: type 7, cert-spec section 2.3;
//   - [RSAIdentity]: type 2, X.509, tor-spec section 4.2.
//
// Time is always passed in. A certificate outside its validity gives an
// [*ExpiredError], which says by how much, so that a wrong clock can be told
// from a stale relay. The Sign functions make certificates for relays in
// tests and for onion services.
package cert
