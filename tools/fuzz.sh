#!/bin/sh
# Runs every fuzz target of the module, or of one folder, for the time given, one after the other:
# tools/fuzz.sh 60s [./sip]
set -eu
time="${1:?usage: tools/fuzz.sh DURATION [FOLDER]}"
folder="${2:-.}"

targets="$(grep -rnEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' "$folder" |
	grep -vE '^\./(interop|bench)/|/testdata/' | sed -E 's,^(.*)/[^/]*\.go:[0-9]+:func (.*)$,\1 \2,' | sort)"
if [ -z "$targets" ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
failed=""
count=0
while read -r dir name; do
	echo "fuzz: $dir $name"
	if ! go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 2s "$dir" </dev/null; then
		failed="$failed $dir:$name"
	fi
	count=$((count + 1))
done <<LIST
$targets
LIST
if [ -n "$failed" ]; then
	echo "fuzz: failed:$failed (the input is under testdata/fuzz; commit it with the repair)" >&2
	exit 1
fi
echo "fuzz: $count targets, $time each, no failure"
