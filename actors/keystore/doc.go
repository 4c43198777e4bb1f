// Package keystore keeps the keys of onion services and of their authorised
// clients in files, laid out as C tor does (package keyfile), and sees to it that
// nobody else can read them.
//
// A directory of keys belongs to this process's user and is closed to everyone
// else; one that is not is refused, with the command that closes it if it is a
// directory of keys, and not one that has another use. Files are written whole or
// not at all: beside their place, synced, and moved there. A key that is there is
// never overwritten.
//
// No path and no name of a service is in an error beyond the directory that the
// user named. Nothing here is an actor; callers use it off the mailbox.
package keystore
