// Command chive is a Tor client: SOCKS5 in, Tor circuits out.
//
// Each command is a file of this folder; cli.go has the grammar and the exit
// codes, overrides.go lets any torrc option stand on the command line.
package main

import "os"

// version is set by the linker (make build).
var version = ""

func main() {
	os.Exit(execute(os.Args[1:], standardStreams()))
}
