package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
)

type newnymCommand struct {
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive newnym --help.
func (newnymCommand) Help() string {
	return `Circuits that were used take no new streams, so that what is asked for from now on
comes from elsewhere. Open streams go on where they are, and the guard stays. At most
once in 10 seconds, since each time costs the network circuits; for one identity there
is chive renew.

Examples:
  chive newnym`
}

// Run asks and prints.
func (c newnymCommand) Run(std streams) error {
	return c.renew(std, c.Output, node.RenewAsk{All: true})
}

type renewCommand struct {
	User     string  `arg:"" help:"The user name that the identity's programs give, by SOCKS or HTTP CONNECT."`
	Password *string `help:"Only the identity with that password too."`
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help is printed by chive renew --help.
func (renewCommand) Help() string {
	return `Circuits that carried streams of one identity, a user name, take no new ones:
its next streams come from elsewhere, and all other identities stay where they are. Open
streams go on, and the guard stays. The name is told to the node on this machine only.
Programs give it by SOCKS, or by HTTP CONNECT with Proxy-Authorization, as curl does with
--proxy-user: that is one identity.

Examples:
  chive renew alice
  chive renew alice --password x`
}

// Run asks and prints.
func (c renewCommand) Run(std streams) error {
	if c.User == "" {
		return usage("renew needs the identity's user name; chive newnym is for all")
	}
	if err := c.renew(std, c.Output, node.RenewAsk{User: c.User, Password: c.Password}); err != nil || c.Output == "json" {
		return err
	}
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		all, err := identities(ctx, client, c.User)
		if err == nil && !slices.ContainsFunc(all, func(v node.Identity) bool { return v.User == c.User }) {
			fmt.Fprintf(std.err, "chive: nobody has used the node as %s lately: there was nothing to renew (chive identities lists who does)\n", printable(c.User))
		}
		return err
	})
}

func (f nodeFlags) renew(std streams, output string, ask node.RenewAsk) error {
	question, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	return say(f, std, output, messages.VerbRenew, question, func(a node.RenewAnswer) string {
		return taking(a.Circuits) + " no new streams"
	})
}

func taking(n int) string {
	if n == 1 {
		return "1 circuit takes"
	}
	return fmt.Sprintf("%d circuits take", n)
}
