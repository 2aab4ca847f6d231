#!/usr/bin/env bash
# ticker.sh - a filter: shows the lines it reads one over the other, so that people see that something goes on.
# Where the output is no terminal it shows nothing.
[ -t 1 ] || exec cat >/dev/null
columns=$(tput cols 2>/dev/null) || columns=80
while IFS= read -r line; do
    printf '\r\033[K   %.*s' $((columns - 4)) "$line"
done
printf '\r\033[K'
