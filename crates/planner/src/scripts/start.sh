#!/bin/sh
# Starts the server of this pod. Needs POD_NAME, POD_IP, POD_NAMESPACE, SERVICE and CLUSTER_DOMAIN.
#
# Only what differs from pod to pod is said here; all else is in redis.conf. The arguments of a process are public:
# no secret may become one.
set -eu

# What the server writes is read by nobody else.
umask 0077

config=/etc/keyslot/config/redis.conf
data=/data
password_file=/etc/keyslot/system/probe-password

# The start guard. A primary that comes back at its old address with less than its replicas have is copied by them
# within a second. With an append-only file it comes back with what it had; without one it is held back here until one
# of its replicas has been promoted, then it joins as a replica. A pod of its own or a lost nodes.conf has no slots to
# come back with.

# Sets `me` and `slots`: the id of this node, and the slots that it owned as a primary.
read_myself() {
    me='' slots=''
    while read -r id _ flags _ _ _ _ _ rest; do
        case ",$flags," in
        *,myself,*) me=$id ;;
        *) continue ;;
        esac
        case ",$flags," in
        *,master,*) slots=$rest ;;
        esac
    done <"$data/nodes.conf"
}

# The addresses of the replicas of $me, `ip port` a line.
replicas() {
    while read -r _ address _ primary _; do
        [ "$primary" = "$me" ] || continue
        address=${address%%@*}
        echo "${address%:*} ${address##*:}"
    done <"$data/nodes.conf"
}

# What a node says of itself: its role and its databases that have keys.
ask() {
    printf 'AUTH keyslot-probe %s\nINFO replication\nINFO keyspace\n' "$password" |
        timeout -s KILL 2 redis-cli -h "$1" -p "$2" 2>/dev/null || true
}

# `promoted`, `copy` (a living replica has keys that this node lacks) or `none`.
look() {
    found=none
    while read -r ip port; do
        said=$(ask "$ip" "$port")
        case $said in
        *role:master*) echo promoted && return ;;
        *role:slave*db0:keys=*) [ -s "$data/dump.rdb" ] || found=copy ;;
        esac
    done <<REPLICAS
$(replicas)
REPLICAS
    echo $found
}

guard() {
    [ -f "$data/nodes.conf" ] && ! [ -d "$data/appendonlydir" ] || return 0
    read_myself
    [ -n "$slots" ] && [ -n "$(replicas)" ] || return 0
    password=
    read -r password <"$password_file" || [ -n "$password" ] || return 0
    milliseconds=$(sed -n 's/^cluster-node-timeout //p' "$config")
    # Time for the others to notice and to elect, if they can.
    patience=$((3 * milliseconds / 1000 + 10))
    echo "start guard: this node owned slots and may have less than its replicas; waiting until one is promoted"
    trap 'exit 0' TERM INT
    while :; do
        state=$(look)
        [ "$state" != promoted ] || break
        # As long as a copy lives, nothing makes this node wipe it.
        [ "$state" = copy ] || [ "$patience" -gt 0 ] || break
        patience=$((patience - 1))
        sleep 1 &
        wait $!
    done
    trap - TERM INT
    echo "start guard: starting, replicas are: $state"
}
guard

# The host name tells the others, and the operator, which pod a node id belongs to, also when the pod is gone.
exec redis-server "$config" \
    --cluster-announce-ip "$POD_IP" \
    --cluster-announce-hostname "$POD_NAME.$SERVICE.$POD_NAMESPACE.svc.$CLUSTER_DOMAIN"
