#!/bin/bash
# What the shim can't get into is refused, or found out and said.
. "${0%/*}/harness.sh"

TINY=$(program tiny) STATIC=$(program tiny_static)
RULE=accept:error=EMFILE:when=1

test_static_programs() {
    run "$SNAG" run --backend preload -e $RULE --connect -- "$STATIC" 0
    expect_status 125
    expect_lines err <<<"snag: $STATIC can't be reached: it is linked statically, so no library can be preloaded into it"
    printf '#!%s\n' "$STATIC" >script
    chmod +x script
    run "$SNAG" run --backend preload -- ./script
    expect_status 125
    expect_has err "its interpreter is $STATIC"
}

# Only root can make one that is another user's; for the others Debian has one.
test_setuid_programs() {
    local other=/usr/bin/passwd
    if [ "$(id -u)" = 0 ]; then
        cp "$TINY" other
        chown nobody other
        chmod u+s other
        other=./other
    fi
    run "$SNAG" run --backend preload -- "$other" exits=0 0
    expect_status 125
    expect_has err 'it runs as another user (setuid)'
    # To the user that we are it changes nothing.
    cp "$TINY" own
    chmod u+s own
    run "$SNAG" run -- ./own exits=3 0
    expect_status 3
}

test_environment_that_is_lost_is_put_back() {
    run "$SNAG" run -e $RULE --connect -- env -i "$TINY" 0
    expect_status 0
    expect_has err 'matched 2, injected 1'
}

# It is found out before it listens.
test_static_server_of_a_script_that_listens() {
    printf '#!/bin/sh\nexec "%s" slow=700 0\n' "$STATIC" >script
    chmod +x script
    run "$SNAG" run --ready-timeout 10s -e $RULE --connect -- ./script
    expect_status 125
    expect_match err "^snag: $STATIC \(pid [0-9]+\) listens on 127\.0\.0\.1:[0-9]+ and can't be reached: it is linked statically, .*; --backend seccomp reaches it$"
}

test_static_program_of_a_script() {
    printf '#!/bin/sh\n"%s" exits=0 0\n"%s" exits=0 0\nexit 0\n' "$STATIC" "$STATIC" >script
    chmod +x script
    run "$SNAG" run --summary sum.json -e $RULE -- ./script
    expect_status 125
    expect_match err "^snag: unreached: $STATIC \(pid [0-9]+, 2 times\): it is linked statically"
    expect_has err "snag: no rule matched a call, and the shim is not in $STATIC"
    expect_lacks err 'nothing was reached' # the script was
    expect_json sum.json '.unreached | length == 1 and .[0].count == 2'
    # Where a rule did match, it is said and no more.
    printf '#!/bin/sh\n"%s" exits=0 0\n"%s" quits 0 & wait; exit 0\n' "$STATIC" "$TINY" >script
    run "$SNAG" run -e socket:error=EMFILE:when=1 -- ./script
    expect_status 0
    expect_has err "snag: unreached: $STATIC"
}

# The shim is the same file for both, so that a program of one may start one of the other.
test_musl_programs() {
    musl-gcc -o musl "$tests_root/tests/cli/servers/tiny.c"
    run "$SNAG" run --backend preload -e $RULE --send hi --expect hi -- ./musl 0
    expect_status 0
    expect_match err '^snag: rule 1, .*: matched 2, injected 1$'
    expect_match err '^snag: verdict: served: .*; 1 fault injected$'
    run "$SNAG" run --backend preload --summary sum.json -e $RULE --send hi --expect hi -- sh -c 'env -i ./musl 0; exit 0'
    expect_status 0
    expect_match err '^snag: rule 1, .*: matched 2, injected 1$'
    expect_json sum.json '.unreached == []'
    musl-gcc -x c -o starter - <<'END'
#include <unistd.h>
int main(int argc, char **argv) { return argc < 2 || execv(argv[1], argv + 1) != 0; }
END
    run "$SNAG" run --backend preload -e $RULE --send hi --expect hi -- ./starter "$TINY" 0
    expect_status 0
    expect_match err '^snag: rule 1, .*: matched 2, injected 1$'
}

# Names that the shim exports and musl has not: they are the system calls.
test_what_musl_has_not() {
    musl-gcc -D_GNU_SOURCE -x c -o asks - <<'END'
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
int main(void)
{
    int (*wait)(int, void *, int, const void *, const void *);
    void *function = dlsym(RTLD_DEFAULT, "epoll_pwait2");
    memcpy(&wait, &function, sizeof wait);
    return function && wait(-1, "", 1, 0, 0) == -1 ? errno : 0;
}
END
    run "$SNAG" run --backend preload -- ./asks
    expect_status 9 # EBADF
}

test_call_sites_in_musl_are_refused() {
    musl-gcc -o musl "$tests_root/tests/cli/servers/tiny.c"
    run "$SNAG" run --backend preload -e $RULE:caller=main --send hi --expect hi -- ./musl 0
    expect_status 125
    expect_has err "libunwind can't be used in the server, and a rule needs call sites: they take libunwind8, and glibc 2.35 or newer"
    run "$SNAG" run -e $RULE --send hi --expect hi -- ./musl 0
    expect_status 0
    expect_has err 'snag: ./musl is for musl, where the shim finds no call sites; taking the seccomp backend'
}

# Ordinary programs, forks and failed execs of a script are no news.
test_no_false_alarm() {
    run "$SNAG" run --summary sum.json -- sh -c 'ls / >/dev/null; /none/prog 2>/dev/null; (exit 3); env true; echo $(echo x | cat)'
    expect_status 0
    expect_empty err
    expect_json sum.json '.unreached == []'
}

tests_main "$@"
