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
		Effect: "From the next circuit to an onion service on.",
		Doc:    "Have the second hop of circuits to onion services be one of four relays that stay the same for days, so that whoever makes this client build many circuits does not soon own the relay that sees its guard. auto does as the consensus says, which is yes if it says nothing.",
	}, func(c *Config) *string { return &c.VanguardsLiteEnabled }),
	flag(Option{
		Name: "ExtendAllowPrivateAddresses", Default: "0", TestingDefault: "1", Class: Restart, RemoteDenied: deniedPrivacy,
		Effect:  "Needs a restart: what is known of onion services was read by the old value.",
		Doc:     "Let onion services name introduction points at private and loopback addresses. Only a private test network has any: elsewhere a service would have a relay connect into the network where it stands.",
		Differs: "For a client alone.",
	}, func(c *Config) *bool { return &c.ExtendAllowPrivateAddresses }),
}
