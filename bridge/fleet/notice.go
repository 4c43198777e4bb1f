package fleet

import (
	"context"
	"log/slog"
)

// levelNotice is logging.LevelNotice of config, which is not below this layer.
const levelNotice = slog.LevelInfo + 2

// Notice logs what an operator is to see who saw the warning before it.
func Notice(log *slog.Logger, msg string, args ...any) {
	log.Log(context.Background(), levelNotice, msg, args...)
}
