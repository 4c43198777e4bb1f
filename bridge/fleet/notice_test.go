package fleet

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"chive/config/logging"
)

func TestNoticeIsThatOfTheLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: logging.LevelNotice}))
	log.Info("unseen")
	Notice(log, "seen", "servers", 3)
	if got := out.String(); !strings.Contains(got, "msg=seen servers=3") || strings.Contains(got, "unseen") || levelNotice != logging.LevelNotice {
		t.Errorf("at level %v: %s", levelNotice, got)
	}
}
