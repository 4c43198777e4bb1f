package fleet

// ConfigBucket holds the fleet's configuration.
func ConfigBucket(fleet string) string { return "chive-" + fleet + "-config" }

// AckBucket holds what nodes made of each publication.
func AckBucket(fleet string) string { return "chive-" + fleet + "-acks" }

// NodeBucket holds the members.
func NodeBucket(fleet string) string { return "chive-" + fleet + "-nodes" }

// DirectoryBucket is the object store of the shared directory.
func DirectoryBucket(fleet string) string { return "chive-" + fleet + "-directory" }

// ConfigKey is the one key of the config bucket.
const ConfigKey = "all"
