#!/bin/bash
# make install, and what is installed: snag with its shim, the listener library for programs that are built with pkg-config,
# and its manual page, each example of which is built and run.
. "${0%/*}/harness.sh"

PAGE=$tests_root/listener/man/evconnlistener.3
root=

# What the tests are run on is built: `all` is not made again.
make_it() {
    run env -u MAKEFLAGS -u MFLAGS make -s -C "$tests_root" -o all B="$build" "$@"
    expect_status 0
    expect_empty err
}

install_here() {
    root=$PWD/root
    make_it install PREFIX="$root"
    export PKG_CONFIG_PATH=$root/lib/pkgconfig LD_LIBRARY_PATH=$root/lib
}

# The block of the page behind the line `.\" $1: $2`, as a reader sees it.
example() {
    awk -v mark=".\\\\\" $1: $2" '$0 == mark { on = 1; next } on && /^\.Ed/ { exit } on && !/^\.Bd/ { print }' "$PAGE" |
        sed 's/\\e/\\/g'
}

# Runs the command that the page shows as $1.
command_of_page() {
    local command
    command=$(example command "$1")
    [ -n "$command" ] || fail "the page has no command $1"
    run sh -c "$command"
}

port=
start_example() {
    port=$(free_port)
    start "$@" "$port"
    wait_for 10 listens "$port"
}

listens() {
    grep -q ":$(printf '%04X' "$1") 00000000:0000 0A" /proc/net/tcp
}

build_greet() {
    example file greet.c >greet.c
    command_of_page build
    show err
    expect_status 0
}

test_destdir_is_no_part_of_what_is_said() {
    make_it install DESTDIR="$PWD/stage" PREFIX=/usr
    [ -x stage/usr/bin/snag ] || fail 'no snag'
    run grep -rlF "$PWD" stage/usr/lib/pkgconfig
    expect_status 1
    expect_has stage/usr/lib/pkgconfig/libsnag.pc 'libdir=/usr/lib'
}

test_uninstall_leaves_nothing() {
    make_it install DESTDIR="$PWD/stage" PREFIX=/usr
    mkdir -p stage/usr/lib/other
    echo mine >stage/usr/lib/libother.so
    make_it uninstall DESTDIR="$PWD/stage" PREFIX=/usr
    expect_equal 'what is left' "$(find stage | sort | tr '\n' ' ')" \
        'stage stage/usr stage/usr/lib stage/usr/lib/libother.so stage/usr/lib/other '
}

# Folders that were there before stay, empty as they are; a second install changes nothing about that.
test_uninstall_takes_no_folder_that_was_there() {
    mkdir -p stage/usr/share/man stage/usr/bin
    make_it install DESTDIR="$PWD/stage" PREFIX=/usr
    make_it install DESTDIR="$PWD/stage" PREFIX=/usr
    make_it uninstall DESTDIR="$PWD/stage" PREFIX=/usr
    expect_equal 'what is left' "$(find stage | sort | tr '\n' ' ')" \
        'stage stage/usr stage/usr/bin stage/usr/share stage/usr/share/man '
}

# Each manual page and each completion that there is, where man and the shells look for them.
test_manuals_and_completions_are_installed() {
    local page count=0
    make_it install DESTDIR="$PWD/stage" PREFIX=/usr
    for page in "$tests_root"/{inject,shim,listener}/man/*.[1-8]; do
        [ -e "$page" ] || continue
        cmp "$page" "stage/usr/share/man/man${page##*.}/${page##*/}" || fail "no ${page##*/}"
        count=$((count + 1))
    done
    [ $count -ge 1 ] || fail 'no manual page was found'
    [ ! -e "$tests_root/inject/completion/snag.bash" ] || [ -e stage/usr/share/bash-completion/completions/snag ] ||
        fail 'no completion for bash'
    [ ! -e "$tests_root/inject/completion/_snag" ] || [ -e stage/usr/share/zsh/site-functions/_snag ] ||
        fail 'no completion for zsh'
}

test_library_names() {
    install_here
    run readelf -dW root/lib/libevconnlistener.so
    expect_has out 'soname: [libevconnlistener.so.1]'
    expect_equal 'where the soname leads' "$(readlink -f root/lib/libevconnlistener.so.1)" "$root/lib/libevconnlistener.so.1.0.0"
}

# Away from the build folder, so that the shim which is found is the one that was installed.
test_installed_snag_finds_its_shim() {
    local libdir
    for libdir in lib "lib/$(uname -m)-linux-gnu" lib64; do
        make_it install PREFIX="$PWD/at" LIBDIR="$PWD/at/$libdir"
        run at/bin/snag run -e socket:error=EMFILE:when=1 --connect -- "$LISTENER_ECHO"
        expect_has err 'Too many open files'
        run at/bin/snag run --connect -- sh -c 'echo "$LD_PRELOAD"; exec "$0"' "$LISTENER_ECHO"
        expect_match out "^$PWD/at/bin/\.\./$libdir/snag/libsnag\.so$"
        make_it uninstall PREFIX="$PWD/at" LIBDIR="$PWD/at/$libdir"
    done
}

test_pkg_config_names_the_shim() {
    install_here
    run pkg-config --variable=shim libsnag
    expect_lines out <<<"$root/lib/snag/libsnag.so"
    [ -e "$root/lib/snag/libsnag.so" ] || fail 'it is not there'
}

test_page_is_clean() {
    run mandoc -Tlint -W warning "$PAGE"
    show out
    expect_status 0
}

# Functions, constants, steps, members of structures and variables of the environment.
test_page_has_all_of_the_header() {
    local name
    grep -ohE '\b(evconnlistener_[a-z_]+ *\(|EVCONNLISTENER_(CLASS|ACTION|POLICY|OPT|PAUSE|ACCEPT|ADAPTIVE|REPORT)[A-Z_]*)' \
        "$tests_root/listener/evconnlistener.h" | tr -d ' (' | sort -u >names
    [ "$(wc -l <names)" -gt 30 ] || fail 'the header was not read'
    while read -r name; do
        [ "$name" = EVCONNLISTENER_OPT_ ] || expect_match "$PAGE" "\b$name\b"
    done <names
    sed -n 's/^ *STEP(\([A-Z_]*\), .*/EVCONNLISTENER_STEP_\1/p' "$tests_root/listener/evconnlistener.h" >steps
    awk '/^struct evconnlistener_[a-z]* \{/ { on = 1; next } /^\}/ { on = 0 } on' "$tests_root/listener/evconnlistener.h" |
        sed 's|/\*.*||' | grep -oE '\b[a-z_]+( *[,;]|\))' | tr -d ' ,;)' | grep -vxE 'arg|void' >members
    [ "$(wc -l <steps)" -gt 20 ] && [ "$(wc -l <members)" -gt 30 ] || fail 'the header was not read'
    while read -r name; do
        expect_match "$PAGE" "\b$name\b"
    done < <(cat steps members)
}

test_example_greet() {
    install_here
    build_greet
    run readelf -dW greet
    expect_has out 'NEEDED)             Shared library: [libevconnlistener.so.1]'
    start_example ./greet
    run bash -c "cat </dev/tcp/127.0.0.1/$port"
    expect_lines out <<<hello
    stop "$pid"
    expect_status 0
    expect_lines "$pid.out" <<<'1 accepted, 0 shed'
}

# Under EMFILE it says so, and sheds the client that waits.
test_example_greet_complains() {
    install_here
    build_greet
    port=$(free_port)
    run "$root/bin/snag" run -e accept4:error=EMFILE:when=1 --connect -- ./greet "$port"
    expect_has err 'accept: Too many open files (resource): shed, 0 ms'
    expect_has out '1 shed'
}

test_example_preload() {
    install_here
    build_greet
    cp "$build/tests/evhttp" server
    (
        command=$(example command preload)
        export EVCONNLISTENER_REPORT=1
        eval "exec env $command"
    ) >preload.out 2>preload.err &
    pid=$!
    wait_for 10 test -s preload.out
    run curl -s --max-time 10 "http://127.0.0.1:$(cat preload.out)/"
    expect_lines out <<<answered
    wait_for 10 ended $pid
    expect_match preload.err '^evconnlistener: 127\.0\.0\.1:[0-9]+ policy=backoff .* accepted=1 '
}

test_example_watch() {
    install_here
    example file watch.c >watch.c
    # shellcheck disable=SC2046 # a word a flag
    run cc -o watch watch.c $(pkg-config --cflags --libs libevconnlistener libevent_core)
    expect_status 0
    start_example ./watch
    run bash -c "cat </dev/tcp/127.0.0.1/$port"
    wait_for 10 ended "$pid"
    expect_lines "$pid.out" <<'EOT'
referenced
readable
call
accepted
cb_enter
freed
released
call
cb_leave
round_end
released
EOT
}

tests_main "$@"
