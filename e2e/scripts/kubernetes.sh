# The Kubernetes that tests and the demo use; sourced by other scripts, from the top of the checkout.
#
# With KEYSLOT_E2E_KUBECONFIG it is one that exists already, with images that it can pull
# (docs/development.md names the variables); otherwise the local one, which is started if need be.

# Images that are made here and brought to the nodes of the local Kubernetes.
programs="keyslot keyslot-client"
servers="redis-7.0 redis-8.0 redis-8.6 valkey-8.1 valkey-9.1"

local_kubernetes() {
    cargo run --quiet --bin local-kubernetes -- "$@"
}

is_local() {
    [ -z "${KEYSLOT_E2E_KUBECONFIG:-}" ]
}

is_up() {
    local_kubernetes status --json 2>/dev/null | grep -q '"is_up": true'
}

# Starts the local Kubernetes unless it runs, and brings it these images.
start_kubernetes() {
    is_local || return 0
    local_kubernetes up && local_kubernetes load-image "$@"
}
