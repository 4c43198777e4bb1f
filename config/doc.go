// Package config reads a torrc and gives the node its typed options.
//
// A torrc is C tor's own syntax (tor(1), "THE CONFIGURATION FILE FORMAT"), so
// one file of a private network serves both programs:
//
//		bytes ──Parse──► []Line ──(layers)──► option table ──► Config
//
//	  - Parse is the lexer: comments, quotes, continuations, absolute caps.
//	  - The option table (Options) is the one place that names an option, its
//	    type, unit, default, range and meaning, what a change of it asks of a
//	    running node (Hot, Rebuild, Restart) and whether a remote publisher may set
//	    it; docs/configuration.md is written from it.
//	  - A Source computes the whole from its layers (default, file, environment,
//	    command line, fleet, operator) each time; Diff says what changes, Apply
//	    what of it waits for a restart.
//	  - An option that C tor knows and chive does not honour is refused by name
//	    (foreign.txt); only a value that asks for what chive does anyway is let
//	    through. Nothing is parsed and ignored.
//	  - Every mistake is reported, each with file, line, option, what is wrong
//	    and, when a name is nearly right, what was probably meant.
//
// The public network's authorities and fallback directories are compiled in
// (public/*.torrc) in the same syntax and read by the same parser.
//
// Left to others: opening sockets and files, acting on a value, carrying out a change
// (actors/configuration).
package config
