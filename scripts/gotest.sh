#!/usr/bin/env bash
# Runs the command that is given (go test ...) and, if it fails, says at the very end which tests
# failed and why: event logs of failed tests are long, and whoever keeps only the end of the output
# would not see it.
set -uo pipefail
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$@" 2>&1 | tee "$out"
status=${PIPESTATUS[0]}
[ "$status" -eq 0 ] && exit 0
echo
echo "== what failed, without the event logs =="
awk '
	/^ *--- FAIL: /                                   { print; own = 12; next }
	/^ *--- |^(ok|\?)[ \t]|^(PASS|FAIL)$/             { own = 0; next }
	/^FAIL[ \t]/                                      { print; rest = 0; next }
	/^# |^panic: |WARNING: DATA RACE|^fatal error: /  { print; rest = 30; next }
	own > 0 && /^ +[^ ]+:[0-9]+: ([^ ]+ )?(20[0-9][0-9]-[0-9-]+T|time=)/ { next }
	own > 0 && /^ +[^ ]+\.go:[0-9]+: /                { print; own--; next }
	rest > 0                                          { print; rest-- }
' "$out" | cut -c1-400 | head -n 150
exit "$status"
