#!/bin/sh
# Runs before the server gets SIGTERM, and ends at once.
#
# Nobody takes over from a primary that is about to stop, so waiting here would only lengthen the interruption. On
# SIGTERM the server itself stops accepting writes and waits for its replicas to have them all (shutdown-timeout).
#
# The hook is there from the first pod on, since a hook can't be added to a pod that runs, while this file can change.
exit 0
