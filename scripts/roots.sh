# shellcheck shell=bash
# roots.sh - for scripts that try what was built in a clean system: roots made by debootstrap in a folder of their own, which
# is removed when the script ends.  Needs root, and the network for debootstrap and apt.
#
# Commands in a root run in a mount namespace of their own, so that nothing stays mounted, however they end.

roots=

[ "$(id -u)" = 0 ] || { echo "${0##*/}: needs root, for debootstrap and chroot" >&2; exit 125; }

remove_roots() {
    [ -z "$roots" ] || rm -rf --one-file-system "$roots"
}

begin_roots() {
    trap remove_roots EXIT
    trap 'exit 130' INT TERM HUP
    roots=$(mktemp -d "${TMPDIR:-/tmp}/snag-roots.XXXXXX")
    chmod 755 "$roots"
}

# Makes the root $roots/$1 of Debian $1, with packages $2 (a list with commas) beside the smallest set.
make_root() {
    local log=$roots/$1.log
    if ! debootstrap --variant=minbase ${2:+"--include=$2"} "$1" "$roots/$1" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "${0##*/}: debootstrap of $1 failed" >&2
        exit 1
    fi
    # Servers are not started by being installed.
    printf '#!/bin/sh\nexit 101\n' >"$roots/$1/usr/sbin/policy-rc.d"
    chmod 755 "$roots/$1/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$roots/$1/etc/resolv.conf" 2>/dev/null || true
}

# Runs the command $2... in the folder $1 as the root of its world.
in_root() {
    local root=$1
    shift
    unshare --mount sh -c '
        root=$1; shift
        mkdir -p "$root/proc" "$root/sys" "$root/dev" && mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" &&
            mount --rbind /sys "$root/sys" || exit 125
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            chroot "$root" "$@"' sh "$root" "$@"
}

passed=0 failed=0

# Runs $2... as the step called $1, and shows its words if it fails.
step() {
    local name=$1 begin=$SECONDS
    shift
    if "$@" >"$roots/step.log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok   %s (%d s)\n' "$name" $((SECONDS - begin))
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$name"
        tail -n 30 "$roots/step.log" | sed 's/^/    | /'
    fi
}

# The last line, and the exit status, of a script of steps.
end_steps() {
    printf '%d passed, %d failed\n' $passed $failed
    [ $failed = 0 ]
}
