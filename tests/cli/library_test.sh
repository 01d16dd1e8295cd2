#!/bin/bash
# What libsnag.so is from the outside: which libraries it needs, which names it exports, how it binds.
. "${0%/*}/harness.sh"

test_needs_libc_alone() {
    run readelf -dW "$SHIM"
    expect_status 0
    expect_equal 'DT_NEEDED' "$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' out)" libc.so.6
}

# The rows of the .def files, read another way than scripts/shim-map does.
wrapped_names() {
    (
        cd "$tests_root" || exit 1
        printf '%s\n' '#define CALL(name, ...) @name' '#define ALIAS(exported, name) @exported' \
            '#define FREES(name) @name' '#define EXPORT(name) @name' \
            '#include "inject/engine/calls.def"' '#include "shim/exports.def"' | gcc -E -P -I. -xc -
    ) | sed -n 's/^@//p' | sort
}

test_exports_exactly_the_wrapped_names() {
    nm -D --defined-only "$SHIM" | awk '{ print $3 }' | sort >exported
    wrapped_names >wanted
    [ "$(wc -l <wanted)" -gt 30 ] || fail 'the list of names was not read'
    diff wanted exported >difference || { show difference; fail 'wanted (<) and exported (>) differ'; }
}

# Bound at load, so that the dynamic linker is never entered from a signal handler or a vfork child.
test_is_bound_at_load() {
    run readelf -dW "$SHIM"
    expect_status 0
    expect_match out 'FLAGS_1.*NOW'
    expect_lacks out TEXTREL
}

# __tls_get_addr may call malloc: thread-local storage has to be initial-exec.
test_thread_local_storage_is_initial_exec() {
    run nm -D --undefined-only "$SHIM"
    expect_status 0
    expect_lacks out __tls_get_addr
}

test_stack_is_not_executable() {
    run readelf -lW "$SHIM"
    expect_status 0
    expect_match out 'GNU_STACK.* RW +0x'
}

test_without_a_session_it_is_silent() {
    run env -u SNAG_BOARD LD_PRELOAD="$SHIM" sh -c 'echo fine'
    expect_status 0
    expect_lines out <<<fine
    expect_empty err
    run env SNAG_BOARD="$PWD/none" LD_PRELOAD="$SHIM" sh -c 'echo fine'
    expect_status 0
    expect_lines out <<<fine
    expect_empty err
}

tests_main "$@"
