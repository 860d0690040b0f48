#!/bin/sh
# Turns a list of stations (number, tab, name) into a C table.
set -e
echo 'static const struct { unsigned number; const char *name; } stations[] = {'
while IFS='	' read -r number name; do
    case $number in
    '' | '#'*) ;;
    *) printf '    { %s, "%s" },\n' "$number" "$name" ;;
    esac
done < "$1"
echo '};'
