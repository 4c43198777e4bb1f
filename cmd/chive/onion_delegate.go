package main

import (
	"errors"
	"fmt"
	"time"

	"chive/actors/hosting"
	"chive/actors/keystore"
)

type onionDelegate struct {
	Folder         string        `arg:"" type:"path" help:"The folder with the service's identity key, hs_ed25519_secret_key."`
	Out            string        `required:"" type:"path" placeholder:"FOLDER" help:"The folder for the host: made if it is not there, else its keys are replaced."`
	From           string        `placeholder:"DATE" help:"The first day (UTC): 2026-11-30, or with a time as RFC 3339; default now."`
	Periods        int           `default:"30" help:"For so many time periods of the network: days, in the public one. At most 998."`
	New            bool          `help:"If the folder holds no identity key, make one. Without, such a folder is refused."`
	PeriodLength   time.Duration `default:"24h" help:"In a private network: how long a time period is (hsdir-interval)."`
	VotingInterval time.Duration `default:"1h" help:"In a private network: the time between two consensuses."`
}

// Help is printed by chive onion delegate --help.
func (onionDelegate) Help() string {
	return `Keeps the identity key of an onion service off the host: run it where the key is, without
a node or a network, and carry the folder it writes to the host, as its HiddenServiceDir. To
go on, make another in time, and put its file chive_delegation in the place of the old one;
chive reload takes it up. chive tells seven days before the keys run out, in the log, in an
event and in chive onion show.

Who steals the host's folder can publish descriptors of the service for these periods,
and be found in its place; nobody can take that back before they are over. He can do it
for no other period, and neither learns the identity key nor a blinded one. So make few.

Examples:
  chive onion delegate --new /media/key/site --out /media/host/site
  chive onion delegate /media/key/site --from 2027-01-01 --periods 31 --out /media/host/site`
}

// Run makes the keys and writes the folder.
func (c onionDelegate) Run(std streams) error {
	from := time.Now()
	if c.From != "" {
		var err error
		if from, err = time.Parse(time.DateOnly, c.From); err != nil {
			if from, err = time.Parse(time.RFC3339, c.From); err != nil {
				return usage("--from %q: want a date like 2026-11-30, or a time like 2026-11-30T12:00:00Z", c.From)
			}
		}
	}
	d, err := keystore.Delegate(c.Folder, c.Out, keystore.Wanted{
		From: from, Periods: c.Periods, New: c.New, Length: c.PeriodLength, Voting: c.VotingInterval,
	})
	if errors.Is(err, keystore.ErrWanted) {
		return usage("%w", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, `service  %s
folder   %s
from     %s UTC
until    %s UTC, %d periods
allows   to sign descriptors for these periods, whoever has it
`, d.Host, printable(c.Out), d.From.UTC().Format(time.DateTime), d.Until.UTC().Format(time.DateTime), c.Periods)
	return err
}

// delegatedKeys says until when a host's keys do.
func delegatedKeys(k *hosting.Keys, now time.Time) string {
	if k.Until.IsZero() {
		return "delegated, for a network with other time periods than this one"
	}
	at := k.Until.UTC().Format(time.DateTime) + " UTC"
	switch left := k.Until.Sub(now); {
	case k.Over || left <= 0:
		return "delegated, and have run out on " + at
	case left < 48*time.Hour:
		return fmt.Sprintf("delegated, until %s, in %d hours", at, left/time.Hour)
	default:
		return fmt.Sprintf("delegated, until %s, in %d days", at, left/(24*time.Hour))
	}
}
