package metrics

import (
	"testing"

	"chive/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
