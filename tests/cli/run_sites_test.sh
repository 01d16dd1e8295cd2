#!/bin/bash
# Call sites in programs that have ideas of their own about memory, exceptions and stacks.  Which functions they are is
# shown elsewhere; here each of the four calls of the program `sites` is a site, and nothing else about it changes.
. "${0%/*}/harness.sh"

RULE=accept:error=EMFILE:sticky:per=site:when=1

# The library $1 of the system, for LD_PRELOAD.
library() {
    local path
    path=$(ldconfig -p | sed -n "s/.*$1 .*=> //p" | head -n 1)
    [ -n "$path" ] || fail "no $1 here"
    echo "$path"
}

expect_four_sites() {
    expect_status 0
    expect_lines err <<<"snag: rule 1, $RULE: matched 4, injected 4, at main (1), serve (1), serve~2 (1), serve~3 (1)"
}

test_four_sites() {
    run "$SNAG" run -e $RULE -- "$(program sites)"
    expect_four_sites
    run "$SNAG" run -e $RULE -- "$(program sites_exec)"
    expect_four_sites
}

test_other_allocators() {
    local name path
    for name in libjemalloc.so.2 libtcmalloc_minimal.so.4; do
        path=$(library $name)
        run env LD_PRELOAD="$path" "$SNAG" run -e $RULE -- "$(program sites)"
        expect_four_sites
    done
}

test_a_program_with_address_sanitizer() {
    run "$SNAG" run -e $RULE -- "$(program sites_asan)"
    expect_four_sites
}

# Exceptions that a signal handler throws out of an accept that waits; with another unwinder, too.
test_exceptions_through_wrapped_calls() {
    local thrower
    for thrower in thrower thrower_llvm; do
        run "$(program $thrower)"
        expect_status 0
        mv out alone
        run "$SNAG" run -e accept:delay_enter=1:per=site -- "$(program $thrower)"
        expect_status 0
        diff alone out || fail "$thrower says something else under snag"
        expect_match err 'per=site: matched 20, injected 20$'
    done
    expect_has alone 'by libunwind.so.1'
}

# It is loaded where call sites are asked for, and into nothing else.
test_libunwind_is_loaded_only_for_call_sites() {
    run "$SNAG" run -e accept:error=EMFILE:times=1 -- cat /proc/self/maps
    expect_status 0
    expect_lacks out libunwind
    run "$SNAG" run -e $RULE -- cat /proc/self/maps
    expect_status 0
    expect_has out libunwind
}

test_call_sites_open_no_descriptor() {
    # shellcheck disable=SC2012 # names of descriptors are numbers
    run "$SNAG" run -e accept:error=EMFILE:times=1 -- sh -c 'ls /proc/$$/fd; :'
    mv out without
    # shellcheck disable=SC2012
    run "$SNAG" run -e $RULE -- sh -c 'ls /proc/$$/fd; :'
    diff without out || fail 'libunwind left descriptors open'
}

tests_main "$@"
