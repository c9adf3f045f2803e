#!/bin/bash
set -euo pipefail

# Prices are in cents.
declare -A prices=([apple]=50 [bread]=220)
sold_file="${HOME}/.sold"

sell() {
  local name="$1"
  local count="${2:-1}"
  if [[ -z "${prices[$name]:-}" ]]; then
    echo "no $name" >&2
    return 1
  fi
  echo "$name" >> "$sold_file"
  total=$((prices[$name] * count))
  echo "$total"
}

report() {
  for name in $(sort "$sold_file" | uniq); do
    count=$(grep -c "$name" "$sold_file")
    printf '%s\t%d\n' "$name" "$count"
  done
}

case "$1" in
  sell)
    sell "$2" "${3:-1}"
    ;;
  report)
    report | head -n 10
    ;;
  *)
    while read -r line; do
      echo "unknown: $line"
    done
    ;;
esac
