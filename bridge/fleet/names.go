package fleet

// ConfigBucket holds the fleet's configuration.
func ConfigBucket(fleet string) string { return "chive-" + fleet + "-config" }

// AckBucket holds what nodes made of each publication.
func AckBucket(fleet string) string { return "chive-" + fleet + "-acks" }

// NodeBucket holds the members.
func NodeBucket(fleet string) string { return "chive-" + fleet + "-nodes" }

// OnionBucket holds what nodes tell each other of onion services that they share.
func OnionBucket(fleet string) string { return "chive-" + fleet + "-onions" }

// DirectoryBucket is the object store of the shared directory.
func DirectoryBucket(fleet string) string { return "chive-" + fleet + "-directory" }

// RolePrefix is where roles find the API of the JetStream that holds the buckets, in
// place of $JS.API: they have an account of their own.
const RolePrefix = "$JS.FLEET.API"

// ConfigKey is the one key of the config bucket.
const ConfigKey = "all"
