package main

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"chive/config"
)

// homeFirst has kong expand "~/" in paths as a torrc's are, and as a shell does: kong itself asks
// for the user's entry in the password file, whatever HOME says.
func homeFirst(kind string) kong.Option {
	then := kong.NewRegistry().RegisterDefaults().ForNamedType(kind, reflect.TypeFor[string]())
	return kong.NamedMapper(kind, kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		t := ctx.Scan.Peek()
		if p, ok := t.Value.(string); ok && t.IsValue() && strings.HasPrefix(p, "~/") {
			expanded, err := config.ExpandHome(p)
			if err != nil {
				return err
			}
			ctx.Scan.Pop()
			ctx.Scan.PushTyped(expanded, t.Type)
		}
		return then.Decode(ctx, target)
	}))
}
