package logging

import (
	"fmt"
	"log/slog"
)

// Scrubbed stands where a sensitive value would.
const Scrubbed = "[scrubbed]"

// Sensitive is a value that only a logger with SafeLogging 0 shows. However
// else it is printed, it gives Scrubbed.
type Sensitive struct{ value any }

// Hide marks v as sensitive: slog's "target", logging.Hide(addr).
func Hide(v any) Sensitive { return Sensitive{v} }

// LogValue is what any other slog handler shows.
func (Sensitive) LogValue() slog.Value { return slog.StringValue(Scrubbed) }

// Format keeps the value out of every fmt verb.
func (Sensitive) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Scrubbed)) }

// MarshalText keeps the value out of JSON and the like.
func (Sensitive) MarshalText() ([]byte, error) { return []byte(Scrubbed), nil }
