#!/bin/sh
# Starts the server of this pod. Needs POD_NAME, POD_IP, POD_NAMESPACE, SERVICE and CLUSTER_DOMAIN.
#
# Only what differs from pod to pod is said here; all else is in redis.conf. The arguments of a process are public:
# no secret may become one.
set -eu

# What the server writes is read by nobody else.
umask 0077

# Whatever has to hold back a server (a primary that lost its data, a data file of a newer version) belongs here,
# before the one line that starts it.

# The host name tells the others, and the operator, which pod a node id belongs to, also when the pod is gone.
exec redis-server /etc/keyslot/config/redis.conf \
    --cluster-announce-ip "$POD_IP" \
    --cluster-announce-hostname "$POD_NAME.$SERVICE.$POD_NAMESPACE.svc.$CLUSTER_DOMAIN"
