#!/bin/bash
# What libsnag.so is from the outside: which libraries it needs, which names it exports, how it binds.
. "${0%/*}/harness.sh"

# libdl.so.2 is glibc's: dlopen and dlsym before 2.34, and nothing since.
test_needs_libc_alone() {
    run readelf -dW "$SHIM"
    expect_status 0
    expect_equal 'DT_NEEDED' "$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' out | sort | tr '\n' ' ')" 'libc.so.6 libdl.so.2 '
}

# Of what musl has not, nothing but what may be missing: a library that needs a name that is nowhere ends the program.
test_needs_what_musl_has_too() {
    local musl
    musl-gcc -o musl_program "$tests_root/tests/cli/servers/tiny.c"
    musl=$(readelf -lW musl_program | sed -n 's/.*interpreter: \(.*\)]/\1/p') # which is its libc, too
    nm -D --defined-only "$musl" | awk '{ print $3 }' | sort -u >musl
    nm -D --undefined-only "$SHIM" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | sort -u >needed
    [ "$(wc -l <musl)" -gt 1000 ] && [ "$(wc -l <needed)" -gt 10 ] || fail 'the names were not read'
    comm -13 musl needed >missing
    expect_empty missing
}

test_loads_with_an_old_glibc() {
    run "$tests_root/scripts/glibc-floor" "$SHIM"
    show out
    expect_status 0
    expect_match out '^libsnag.so needs glibc 2\.[0-9]+; '
}

# Functions of a new libc are seen.
test_glibc_floor_sees_what_is_too_new() {
    echo 'int _dl_find_object(void *, void *); int f(void *p) { return _dl_find_object(p, p); }' >new.c
    gcc -shared -fPIC -o new.so new.c
    run "$tests_root/scripts/glibc-floor" new.so
    expect_status 1
    expect_match out '^    _dl_find_object@GLIBC_2\.35'
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
