// Package config reads a torrc and gives the node its typed options.
//
// A torrc is C tor's own syntax (tor(1), "THE CONFIGURATION FILE FORMAT"), so
// one file of a private network serves both programs:
//
//		bytes ──Parse──► []Line ──(%include, command line)──► option table ──► Config
//
//	  - Parse is the lexer: comments, quotes, continuations, absolute caps.
//	  - The option table (Options) is the one place that names an option, its
//	    type, default, range and meaning; docs/configuration.md is written from it.
//	  - An option that C tor knows and chive does not honour is refused by name
//	    (foreign.txt); only a value that asks for what chive does anyway is let
//	    through. Nothing is parsed and ignored.
//	  - Every mistake is reported, each with file, line, option, what is wrong
//	    and, when a name is nearly right, what was probably meant.
//
// The public network's authorities and fallback directories are compiled in
// (public/*.torrc) in the same syntax and read by the same parser.
//
// Left to others: opening sockets and files, acting on a value, live reload.
package config
