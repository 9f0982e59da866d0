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
domain=$SERVICE.$POD_NAMESPACE.svc.$CLUSTER_DOMAIN

# The start guard. A primary that comes back at its old address with less than its replicas have is copied by them
# within a second. With an append-only file it comes back with what it had; without one it is held back here until one
# of its replicas has been promoted, then it joins as a replica. It starts sooner only where that can wipe nothing that
# it should not: docs/adr/0009. A pod of its own or a lost nodes.conf has no slots to come back with.

# The value of a line of redis.conf.
setting() {
    sed -n "s/^$1 //p" "$config"
}

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

# The replicas of $me, `id port host ip` a line; without a host name the IP stands for it. An address is
# `ip:port@bus,hostname,more`, where all from the comma on may be missing, and `:0` is an address that was lost.
replicas() {
    while read -r id address _ primary _; do
        [ "$primary" = "$me" ] || continue
        place=${address%%@*}
        host=
        case $address in
        *,*) host=${address#*,} ;;
        esac
        host=${host%%,*}
        port=${place##*:} ip=${place%:*}
        [ "$port" != 0 ] || port=$own_port
        echo "$id $port ${host:-$ip} $ip"
    done <"$data/nodes.conf"
}

# How far the snapshot goes: `replication-id offset`, or nothing when it does not say so in a way that is understood.
# Behind the 9 bytes of its name come fields: the byte 250, a key, a value. Each of these two is a length and as many
# bytes, or 192, 193 or 194 and a number of 1, 2 or 4 bytes. Both fields are among the first: the rest is never read.
snapshot_position() {
    od -A n -v -t u1 -N 1024 "$data/dump.rdb" | LC_ALL=C awk '
        function number(size, value, unit) {
            for (unit = 1; size > 0; size--) {
                value += byte[at++] * unit
                unit *= 256
            }
            return sprintf("%.0f", value < unit / 2 ? value : value - unit)
        }
        function word(size, text) {
            size = byte[at++]
            if (size >= 192 && size <= 194) return number(size == 194 ? 4 : size - 191)
            if (size >= 64 && size < 128) size = (size - 64) * 256 + byte[at++]
            else if (size >= 128) size = end
            if (at + size > end) at = end + 1
            else while (size-- > 0) text = text sprintf("%c", byte[at++] + 0)
            return text
        }
        { for (i = 1; i <= NF; i++) byte[end++] = $i + 0 }
        END {
            for (at = 9; byte[at] == 250;) {
                at++
                key = word()
                value = word()
                if (at > end) exit
                field[key] = value
            }
            id = field["repl-id"]
            offset = field["repl-offset"]
            if (length(id) == 40 && id !~ /[^0-9a-f]/ && offset ~ /^[0-9]+$/) print id, offset
        }'
}

# What a node says of itself. One INFO: half an answer would look like a node without keys. Some shells have words of
# their own for a killed process.
ask() {
    password=
    read -r password <"$password_file" || true
    {
        printf 'AUTH keyslot-probe %s\nCLUSTER MYID\nINFO replication memory keyspace\n' "$password" |
            timeout -s KILL 2 redis-cli -h "$1" -p "$2" 2>&1
    } 2>/dev/null
}

# Whether what redis-cli said is that there is no such name.
is_unknown_name() {
    case $1 in
    "Could not connect to "*": Name or service not known"* | "Could not connect to "*": Name does not resolve"* | \
        "Could not connect to "*": No address associated with hostname"* | \
        "Could not connect to "*": Name has no usable address"*) return 0 ;;
    esac
    return 1
}

# Whether the names of pods can be known at all: not where this cluster was told a wrong DNS domain, or its Service is
# gone. The Service's own name leads to this pod, too.
names_work() {
    said=$(ask "$domain" "$own_port") || true
    case $said in
    "Could not connect to "*": Connection refused"* | *role:*) return 0 ;;
    esac
    return 1
}

# Sets `found` to what is known of the replica with this id, port, host and IP:
#   promoted  it is a primary now
#   copy      it has something that this node lacks
#   less      it has nothing that this node lacks
#   absent    it is not there: nobody listens, the name is unknown, or another node, which is no copy, has its place
#   silent    anything else, which proves nothing
judge() {
    found=silent complete=yes by_name=yes
    said=$(ask "$3" "$2") || complete=no
    case $said in
    "Could not connect to "*": Connection refused"*)
        found=absent
        return
        ;;
    esac
    if is_unknown_name "$said"; then
        if names_work; then
            found=absent
            return
        fi
        # Another pod may have the IP by now: only the very node there is an answer.
        by_name=no complete=yes
        said=$(ask "$4" "$2") || complete=no
    fi
    id='' role='' has_data=no stream='' offset=''
    while IFS= read -r line; do
        line=${line%"$carriage_return"}
        case $line in
        role:*) role=${line#*:} ;;
        master_replid:*) stream=${line#*:} ;;
        slave_repl_offset:*) offset=${line#*:} ;;
        *:keys=* | number_of_libraries:[1-9]*) has_data=yes ;;
        *[!0-9a-f]*) ;;
        *) [ ${#line} -ne 40 ] || id=$line ;;
        esac
    done <<ANSWER
$said
ANSWER
    case "$complete $id $role" in
    "yes $1 master") found=promoted ;;
    "yes $1 slave") if has_no_more; then found=less; else found=copy; fi ;;
    # Half an answer, or none to one of the questions: a node that loads does not tell its id.
    "no "* | "yes  "* | "yes $1 "*) ;;
    *) [ $by_name = no ] || found=absent ;;
    esac
}

# Whether this node lacks nothing that the replica has. Only offsets of the same stream can be compared; a replica that
# never synchronised stands at 0 or 1. What is no number fails the test.
has_no_more() {
    if [ "$snapshot" = no ]; then
        [ "$has_data" = no ]
    elif [ "$stream" = "${position% *}" ]; then
        [ "${position#* }" -ge "$offset" ] 2>/dev/null
    else
        [ "$has_data" = no ] && [ "$offset" -le 1 ] 2>/dev/null
    fi
}

# Sets `state` to what counts most of what was found, and `why` to words for it.
look() {
    state=less why='every replica answers, and none has more'
    while read -r replica port host ip; do
        judge "$replica" "$port" "$host" "$ip"
        case $found in
        promoted)
            state=promoted why="$host has been promoted"
            return
            ;;
        copy) state=copy why="$host has more than this node and is not promoted" ;;
        silent) [ $state = copy ] || state=silent why="$host does not answer" ;;
        absent) [ $state != less ] || state=absent why="$host is not there, or is another node now" ;;
        esac
    done <<REPLICAS
$(replicas)
REPLICAS
}

# Sets `now`, in seconds; no clock that somebody may set.
read_clock() {
    read -r now _ </proc/uptime
    now=${now%%.*}
}

# Ends as soon as the server may start.
hold_back() {
    carriage_return=$(printf '\r') snapshot=no position=
    # A server with an append-only file switched on does not read a snapshot.
    if [ "$(setting appendonly)" != yes ] && [ -s "$data/dump.rdb" ]; then
        snapshot=yes
        position=$(snapshot_position) || position=
        echo "start guard: there is a snapshot, up to: ${position:-unknown}"
    fi
    read_clock
    # Time for the others to notice and to elect, if they can.
    patience=$((3 * $(setting cluster-node-timeout) / 1000 + 10))
    deadline=$((now + patience)) tell_at=$now
    while :; do
        look
        read_clock
        case "$state $snapshot" in
        promoted* | less*) break ;;
        # As long as there may be a copy, nothing makes this node wipe it; and one that was there a moment ago may only
        # be slow, or on its way back.
        copy* | "silent no") deadline=$((now + patience)) ;;
        # A snapshot is promised to be what is left when the rest of the shard is gone.
        *) [ "$now" -lt "$deadline" ] || break ;;
        esac
        if [ "$now" -ge "$tell_at" ]; then
            echo "start guard: this node owned slots and may have less than its replicas; waiting: $why"
            tell_at=$((now + 30))
        fi
        sleep 1
    done
    echo "start guard: starting: $why"
}

# A server reads an append-only file or a snapshot, as it is told, and starts empty where there is only the other: /data
# may have been kept from a resource that was told otherwise.
case $(setting appendonly) in
yes) told=AOF written=RDB ;;
*) told=RDB written=AOF ;;
esac
if { [ $told = AOF ] && [ ! -d "$data/appendonlydir" ] && [ -s "$data/dump.rdb" ]; } ||
    { [ $told = RDB ] && [ -d "$data/appendonlydir" ]; }; then
    echo "not starting: the volume was written with spec.storage.persistence $written, and with $told the server would \
start empty; set it back to $written"
    exit 1
fi

if [ -f "$data/nodes.conf" ] && ! { [ "$(setting appendonly)" = yes ] && [ -d "$data/appendonlydir" ]; }; then
    own_port=$(setting port)
    read_myself
    if [ -n "$slots" ] && [ -n "$(replicas)" ]; then
        # In a process of its own, for this shell hears a signal only while it waits for nothing but a process. When
        # the guard fails, so does the start.
        guard=
        trap 'kill $guard || true; exit 0' TERM INT
        hold_back &
        guard=$!
        wait $guard
        trap - TERM INT
    fi
fi

# The host name tells the others, and the operator, which pod a node id belongs to, also when the pod is gone.
exec redis-server "$config" \
    --cluster-announce-ip "$POD_IP" \
    --cluster-announce-hostname "$POD_NAME.$domain"
