package config

// onionOptions are of a client of onion services.
var onionOptions = []Option{
	path(Option{
		Name: "ClientOnionAuthDir", Class: Hot, RemoteDenied: deniedFiles,
		Effect:  "At once; every reload reads the folder again. Streams that are open go on.",
		Doc:     "The folder with the keys for onion services that let in authorised clients only: files NAME.auth_private with one line `<56 characters>:descriptor:x25519:<key in base32>`, as the service's operator gives it. Only this user may enter the folder. Other files are passed over, and told of.",
		Differs: "Two keys for one service are an error.",
	}, "folder", func(c *Config) *string { return &c.ClientOnionAuthDir }),
	auto(Option{
		Name: "VanguardsLiteEnabled", Default: "auto", Class: Hot, RemoteDenied: deniedPrivacy,
		Effect: "As VanguardsFull.",
		Doc:    "Have the second hop of circuits to onion services be one of four relays that stay the same for days, so that whoever makes this client build many circuits does not soon own the relay that sees its guard. auto does as the consensus says, which is yes if it says nothing.",
	}, func(c *Config) *string { return &c.VanguardsLiteEnabled }),
	auto(Option{
		Name: "VanguardsFull", Default: "auto", Own: true, Class: Hot, RemoteDenied: deniedPrivacy,
		Effect:  "At once: circuits that are being built are built anew, introduction points get other circuits, and what streams are on takes no new ones. A client who has met a hosted service keeps his circuit.",
		Doc:     "Have the third hop of circuits to onion services, and of those of hosted ones, be one of eight relays that change within two days, behind a second layer of four that stay for 30 to 60 (VanguardsLiteEnabled, which 1 implies), and some circuits one hop longer. It is for services that someone may hunt: whoever makes one build many circuits learns no more than a relay of the third layer for days. Circuits are slower by a hop. auto does as the consensus says (vanguards-enabled, and where services are hosted vanguards-hs-service), which is no if it says nothing, or if VanguardsLiteEnabled is 0.",
		Differs: "C tor has none: an addon does it.",
	}, func(c *Config) *string { return &c.VanguardsFull }),
	flag(Option{
		Name: "ExtendAllowPrivateAddresses", Default: "0", TestingDefault: "1", Class: Restart, RemoteDenied: deniedPrivacy,
		Effect:  "Needs a restart: what is known of onion services was read by the old value.",
		Doc:     "Let onion services name introduction points at private and loopback addresses. Only a private test network has any: elsewhere a service would have a relay connect into the network where it stands.",
		Differs: "For a client alone.",
	}, func(c *Config) *bool { return &c.ExtendAllowPrivateAddresses }),
	flag(Option{
		Name: "CircuitPadding", Default: "1", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "At once: relays are told, on open circuits.",
		Doc: "Have circuits by which onion services are reached padded by their second hop, so that their first cells look like those of other circuits: some ten cells each.",
	}, func(c *Config) *bool { return &c.CircuitPadding }),
	flag(Option{
		Name: "ReducedCircuitPadding", Default: "0", Class: Hot, RemoteDenied: deniedPrivacy, Effect: "As CircuitPadding.",
		Doc: "Pad circuits only in ways that cost little. None of those that there are now does, so that this is as CircuitPadding 0.",
	}, func(c *Config) *bool { return &c.ReducedCircuitPadding }),
}

// checkLayers refuses layers of guards that are named and off, or that leave no path.
func (b *builder) checkLayers() {
	c := &b.cfg
	second, third := &c.HSLayer2Nodes, &c.HSLayer3Nodes
	for _, s := range []namedSet{{option: layer2Nodes, set: second}, {option: layer3Nodes, set: third}} {
		if l := b.set[s.option]; !s.set.Empty() && c.VanguardsLiteEnabled == "0" && c.VanguardsFull != "1" {
			b.fail(l, ErrConflict, "names relays for a layer of guards, and VanguardsLiteEnabled 0 has none")
		}
	}
	if third.Empty() {
		return
	}
	l := b.set[layer3Nodes]
	if c.VanguardsFull == "0" {
		b.fail(l, ErrConflict, "names relays for the third layer of guards, and VanguardsFull 0 has none")
	}
	one := len(second.Relays) == 1 && len(second.Countries)+len(second.Networks) == 0
	if one && second.String() == third.String() {
		b.fail(l, ErrConflict, "names the one relay of HSLayer2Nodes, which cannot stand in a path twice: no path is left")
	}
}
