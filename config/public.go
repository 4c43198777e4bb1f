package config

import (
	_ "embed"
	"strings"
)

//go:embed public/authorities.torrc
var publicAuthorities string

//go:embed public/fallbacks.torrc
var publicFallbacks string

// addPublic gives the compiled-in authorities unless a line names some, and the
// compiled-in fallback directories unless a line names those or authorities.
func (b *builder) addPublic() {
	_, ownAuthorities := b.set["DirAuthority"]
	_, ownFallbacks := b.set["FallbackDir"]
	if ownAuthorities {
		return
	}
	b.cfg.PublicNetwork = true
	b.compiledIn("authorities.torrc", publicAuthorities, (*builder).dirAuthority)
	if !ownFallbacks && b.cfg.UseDefaultFallbackDirs {
		b.cfg.DefaultFallbacks = true
		b.compiledIn("fallbacks.torrc", publicFallbacks, (*builder).fallbackDir)
	}
}

func (b *builder) compiledIn(name, text string, apply func(*builder, Line)) {
	lines, err := Parse("compiled-in "+name, strings.NewReader(text))
	if err != nil {
		b.errs = append(b.errs, &Error{File: name, Problem: err.Error(), Kind: ErrSyntax})
	}
	for _, l := range lines {
		apply(b, l)
	}
}
