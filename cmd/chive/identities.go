package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
)

type identitiesCommand struct {
	User []string `arg:"" optional:"" help:"User names: their identities alone, by name. None: all, by token."`
	nodeFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: an array of objects."`
}

// Help is printed by chive identities --help.
func (identitiesCommand) Help() string {
	return `Lists the identities that use the node now: programs that gave a user name, by SOCKS or
HTTP CONNECT (Proxy-Authorization), one for each user name and password. The node keeps
tokens of them, which are opaque and for one boot; who knows a name can ask for it. Only
on this machine.

STREAMS are those since AGE began, which chive renew, IdentityMaxAge and
IdentityMaxStreams end; OPEN are on circuits now. Of the CIRCUITS that carried the
identity, those USABLE take new streams of it.

Examples:
  chive identities
  chive identities alice bob
  chive renew alice`
}

// Run asks and prints.
func (c identitiesCommand) Run(std streams) error {
	return c.with(func(ctx context.Context, client *bridge.Client) error {
		all, err := identities(ctx, client, c.User...)
		if err != nil {
			return err
		}
		all = named(all, c.User)
		return table[node.Identity]{
			head: "IDENTITY\tUSER\tAGE\tSTREAMS\tOPEN\tWAITING\tCIRCUITS\tUSABLE\tEXITS\tRENEWALS", row: identityRow,
			none: "identities", hint: c.hint(),
		}.print(std, c.Output, all, time.Now())
	})
}

// named are the identities of the users that were asked for, of whom each has one for each
// password; all, if nobody was.
func named(all []node.Identity, users []string) []node.Identity {
	if all == nil {
		all = []node.Identity{} // as JSON, too, it is a list
	}
	if len(users) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(v node.Identity) bool { return !slices.Contains(users, v.User) })
}

// hint says why none may be listed.
func (c identitiesCommand) hint() string {
	if len(c.User) == 0 {
		return ""
	}
	return " of " + printable(strings.Join(c.User, ", ")) + ": nobody has used the node under that name lately (chive identities lists all)"
}

// identities asks for those that use the node, with the names of users.
func identities(ctx context.Context, client *bridge.Client, users ...string) ([]node.Identity, error) {
	question, err := json.Marshal(node.IdentitiesAsk{Users: users})
	if err != nil {
		return nil, err
	}
	answer, err := client.Request(ctx, messages.VerbIdentities, question)
	if err != nil {
		return nil, err
	}
	var a node.IdentitiesAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("the node's answer: %w", err)
	}
	return a.Identities, nil
}

func identityRow(v node.Identity, at time.Time) string {
	user, since := v.User, ""
	if user == "" {
		user = v.Group
	}
	if !v.Since.IsZero() {
		since = age(v.Since, at)
	}
	return cells(v.ID, user, since, fmt.Sprint(v.Streams), fmt.Sprint(v.Open), fmt.Sprint(v.Waiting), fmt.Sprint(v.Circuits),
		fmt.Sprint(v.Usable), fmt.Sprint(v.Exits), fmt.Sprint(v.Renewals))
}
