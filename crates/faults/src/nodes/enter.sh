#!/bin/sh
# Becomes the first process of a container: $1 is a folder for it, $2 the files of its image; then come pairs of what is
# mounted and where, up to `--`, and its command. Runs in a mount namespace of its own.
set -eu

container=$1 image=$2
shift 2
root=$container/root
mkdir -p "$root" "$container/upper" "$container/work"
mount -t overlay overlay -o "lowerdir=$image,upperdir=$container/upper,workdir=$container/work" "$root"
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root${2%/*}" && touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    shift 2
done
shift
exec chroot --userspec=999:999 --groups=999 "$root" "$@"
