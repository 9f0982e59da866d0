#!/usr/bin/env bash
# `make demo`: from a checkout to a Redis Cluster that an application uses.
set -euo pipefail
cd "$(dirname "$0")/../.."
. e2e/scripts/kubernetes.sh

say() {
    printf '\n\033[1m%s\033[0m\n' "$1"
}

if is_local; then
    say "Kubernetes and images (the first time everything is built: up to 15 minutes)"
    # shellcheck disable=SC2086  # a list
    start_kubernetes $programs redis-8.0
fi
cargo run --quiet --bin demo
