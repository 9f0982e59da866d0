#!/bin/sh
# Ends with 0 when this node is ready: it answers, has loaded its data and, when a replica, has its link to its
# primary. So a disruption budget counts copies, not processes, also while the operator is away. A node that belongs to
# no cluster yet is ready: it lacks nothing that waiting would bring.
#
# The password comes from a mounted file and goes through standard input, both by builtins of the shell: it is in no
# argument, no environment and no output. One process of redis-cli per probe.
set -u

password_file=/etc/keyslot/system/probe-password

# `read` fails at a last line without line break, but has read it.
password=
read -r password <"$password_file" || [ -n "$password" ] || {
    echo "no password in $password_file"
    exit 1
}

# Killed by itself before the kubelet kills this shell, which would leave redis-cli behind.
reply=$(printf 'AUTH keyslot-probe %s\nINFO persistence\nINFO replication\n' "$password" |
    timeout -s KILL 4 redis-cli 2>&1) || {
    echo "the server does not answer"
    exit 1
}

# Lines of INFO end in a carriage return, hence the star.
loaded=no role=unknown link=down
while IFS= read -r line; do
    case $line in
    loading:0*) loaded=yes ;;
    role:master*) role=primary ;;
    role:slave*) role=replica ;;
    master_link_status:up*) link=up ;;
    esac
done <<REPLY
$reply
REPLY

case "$loaded $role $link" in
"yes primary "* | "yes replica up") exit 0 ;;
"no unknown "*) echo "the server gave no INFO: is keyslot-probe allowed to log in?" ;;
*) echo "not ready: loaded $loaded, role $role, link $link" ;;
esac
exit 1
