#!/bin/bash
# `snag lesson`: every lesson is run, and what its text claims, each line of source that it shows, and each page are looked
# at.  A listener that was broken on purpose must make its lesson disagree.
. "${0%/*}/harness.sh"

STUDENT=$(program student) STATIC=$(program tiny_static)
LESSONS="backlog connection several bufferevent free-in-callback disable-in-callback threads null-callback zero-length
retriable emfile emfile-loopexit emfile-tutorial emfile-backoff emfile-shed fatal start-failures flags"

test_list() {
    run "$SNAG" lesson
    expect_status 0
    # shellcheck disable=SC2086
    expect_equal lessons "$(cut -d' ' -f1 out)" "$(printf '%s\n' $LESSONS)"
    run env LC_ALL=zh_CN.UTF-8 "$SNAG" lesson
    expect_match out '^backlog +创建监听器'
    expect_match out '^emfile-shed +EMFILE, second remedy'
}

test_each_run_shows_what_its_text_claims() {
    local lesson
    for lesson in $LESSONS; do
        run "$SNAG" lesson "$lesson" --check
        jq -r '.checks[] | select(.passed | not) | .text + "\n    " + .why' out
        expect_status 0
        expect_empty err
        expect_json out '.passed and .points == .of and .of == (.checks | length) and .of >= 4 and .server == "evconnlistener"'
        expect_json out ".lesson == \"$lesson\""
    done
}

test_each_translation_holds() {
    local lesson
    for lesson in backlog connection several bufferevent free-in-callback; do
        run "$SNAG" lesson "$lesson" --lang zh --check
        expect_status 0
        expect_match out '[监听连接]'
    done
}

# A step of the listener or the callback names a line that is there, inside of the function that it names; a system call's
# line makes that call, or is the one place through which several go.
check_places() {
    local file line function what call source
    while IFS=$'\t' read -r file line function what call; do
        [ -f "$tests_root/$file" ] || fail "$1: no file $file"
        source=$(sed -n "${line}p" "$tests_root/$file")
        [ -n "${source// /}" ] || fail "$1: $file:$line is empty"
        sed -n "1,${line}p" "$tests_root/$file" | grep -E '^[a-z].*\(' | grep -v ';$' | tail -n 1 | grep -q "[ *]$function(" ||
            fail "$1: $file:$line is not in $function"
        [ "$call" = false ] || [[ $source == *"$what("* || $what == close && $source == *bufferevent_free* ]] ||
            fail "$1: $file:$line does not call $what: $source"
    done
}

test_source_lines_are_those_that_ran() {
    local lesson
    for lesson in $LESSONS; do
        run "$SNAG" lesson "$lesson" -o steps
        expect_status 0
        jq -r 'select(.file) | [.file, .line, .function, .what, (.lane == "round" and has("ret"))] | @tsv' steps | sort -u >places
        [ -s places ] || fail "$lesson: no step names its place"
        check_places "$lesson" <places
        jq -e -s 'all(.[] | select(.lane == "round" or .lane == "callback"); .what == "log" or (has("file") and has("line")))' \
            steps >/dev/null || fail "$lesson: a step of the listener or the callback has no place"
    done
}

# Every call that the listener announces is one that the shim has recorded, and the other way round.
test_calls_and_records_are_the_same() {
    local lesson
    for lesson in $LESSONS; do
        "$SNAG" lesson "$lesson" -o steps >/dev/null
        expect_lacks steps '"what":"call '
        jq -e -s 'all(.[] | select(has("ret") and (.what == "accept4" or .what == "setsockopt")); .lane == "round")' steps \
            >/dev/null || fail "$lesson: a call of the listener has no place"
    done
}

test_terminal() {
    run env COLUMNS=100 "$SNAG" lesson emfile
    expect_status 0
    expect_has out 'KERNEL'
    expect_match out '^ *[0-9]+ \| \(is not asked\) +\| accept4,accept:error= \| calls accept4'
    expect_match out 'listener/round.c:[0-9]+  int s = accept4\('
    expect_has out 'enabled, in the loop, callback set, references 2, no pause, queue 1'
    expect_match out '^  yes +Each EMFILE leaves the client in the queue'
    expect_has out 'Three things help'
    [ "$(wc -L <out)" -le 100 ] || fail "a line is too long: $(wc -L <out)"
    run env COLUMNS=200 "$SNAG" lesson several --lang zh
    expect_has out '监听器'
}

test_step() {
    printf '\n\n\n\n\n' >input
    run -i input "$SNAG" lesson connection --step
    expect_status 0
    expect_equal steps "$(grep -cE '^(-- Enter -- *)?-- Enter -- *[0-9]+ ' out)" 5
    expect_lacks out 'Remember'
    printf '%200s' '' | tr ' ' '\n' >input
    run -i input "$SNAG" lesson connection --step
    expect_has out 'Remember'
}

test_exercise() {
    echo 2 >input
    run -i input "$SNAG" lesson emfile --exercise
    expect_status 0
    expect_has out '2  It says "readable" again at once, for the same client.'
    expect_has out 'Right.'
    printf 'x\n9\n1\n' >input
    run -i input "$SNAG" lesson emfile --exercise
    expect_has out 'No. The run shows:'
    expect_has out '  It says "readable" again at once'
    run "$SNAG" lesson emfile --exercise
    expect_status 125
    expect_lacks out 'KERNEL'
}

# One file that asks for no other; its data is JSON, and its sources are ours.
check_page() {
    expect_lacks "$1" '<link rel="stylesheet'
    ! grep -E '(src|url)[=(]|@import|fetch\(' "$1" | grep -v 'event\.' || fail "$1 asks for another file"
    ! grep -oE 'href="https?://[^"]*"' "$1" | grep -v '"https://man7.org/linux/man-pages/man' || fail "$1 has a strange link"
    sed -n 's/.*<script type="application\/json" id="data">\(.*\)<\/script>.*/\1/p' "$1" >data
    expect_json data '(.steps | length) > 10 and (.sources | length) > 1 and (.states | length) == (.steps | length)'
    expect_equal "rows of $1" "$(grep -c '<tr id="step-' "$1")" "$(jq '.steps | length' data)"
    expect_equal "right answers of $1" "$(grep -o 'value="right"' "$1" | wc -l)" 1
    expect_lacks "$1" 'class="fails"'
    jq -r '.sources | keys[]' data | while read -r file; do
        jq -j --arg file "$file" '.sources[$file]' data | cmp -s - "$tests_root/$file" || fail "$1: $file is another"
    done
}

test_page() {
    run "$SNAG" lesson zero-length --html z.html
    expect_status 0
    expect_empty out
    check_page z.html
    expect_lacks z.html '<nav'
    expect_has z.html 'https://man7.org/linux/man-pages/man2/accept.2.html'
    run "$SNAG" lesson zero-length --html no/such/folder.html
    expect_status 125
    expect_has err "can't write no/such/folder.html"
}

test_all_pages() {
    local page
    run "$SNAG" lesson --all pages
    expect_status 0
    expect_empty err
    for page in $LESSONS; do
        check_page "pages/$page.html"
        expect_has pages/index.html "<a href=\"$page.html\">"
    done
    expect_equal "Chinese pages" "$(find pages/zh -name '*.html' | wc -l)" 6
    expect_has pages/zh/backlog.html '<html lang="zh">'
    check_page pages/zh/several.html
    # What one page links to is there.
    (cd pages && grep -ohE 'href="[a-z/.-]+\.html"' ./*.html | sort -u | sed 's/href="\(.*\)"/\1/' | xargs ls >/dev/null) ||
        fail "a link leads nowhere"
    sed -n 's/.*href="\([a-z-]*\.html\)">The next.*/\1/p' pages/backlog.html >next
    expect_lines next <<<'connection.html'
}

# The original tells nothing of its rounds; with no back-off and no observer it shows in the calls what it does.
test_original() {
    local lesson
    for lesson in $LESSONS; do
        [ "$lesson" != threads ] || continue
        run "$SNAG" lesson "$lesson" --with libevent -o steps
        expect_status 0
        jq -e -s 'all(.[]; .lane != "round" or .what == "log")' steps >/dev/null || fail "$lesson: libevent told of a round"
        jq -e -s 'any(.[]; .what == "bind") and any(.[]; .lane == "callback" and has("file"))' steps >/dev/null ||
            fail "$lesson: a lane is empty"
    done
    "$SNAG" lesson emfile-backoff --with libevent -o steps >/dev/null
    jq -e -s '[.[] | select(.errno == "EMFILE" and .since_ms == 0)] | length >= 1' steps >/dev/null ||
        fail "libevent waited after EMFILE"
}

# A second thread's disable and the callback wait for each other, for good: it has to be killed.
test_original_deadlocks() {
    run "$SNAG" lesson threads --with libevent -o steps
    expect_status 0
    jq -e -s 'any(.[]; .what == "callback_waited_in_vain") and any(.[]; .what == "killed")
        and all(.[]; .what != "disable_returned")' steps >/dev/null || fail "no deadlock"
}

# LESSON MODE STATUS POINTS OF
grade() {
    run "$SNAG" lesson "$1" --server "$STUDENT $2" --check
    expect_equal "$2 in $1" "$status $(jq -c '[.points, .of]' out)" "$3 [$4,$5]"
}

test_students() {
    grade connection good 0 7 7
    grade connection twice 1 6 7
    expect_json out '[.checks[] | select(.passed | not) | .text] == ["It closes no descriptor a second time."]'
    grade several good 0 5 5
    grade zero-length good 0 6 6
    grade retriable good 0 5 5
    grade emfile good 0 8 8
    grade bufferevent echo 0 5 5
    grade bufferevent good 1 2 5
    grade several one 1 3 5
    grade retriable naive 1 0 5
    grade emfile naive 1 0 8
    grade emfile silent 1 0 8
    expect_json out '.checks[0].why == "the server never waited on a listening socket"'
    grade emfile spins 1 6 8
    expect_json out '[.checks[] | select(.passed | not) | .text] == ["It does not spin: there is a pause of 1 ms or more between two tries."]'
}

# A program that the shim can't get into is not one that never listened.
test_students_out_of_reach() {
    run "$SNAG" lesson connection --server "$STATIC" --check
    expect_status 125
    expect_has err 'static'
    run "$SNAG" lesson connection --server "$STATIC with an argument" --check
    expect_status 125
    expect_has err 'static'
    expect_empty out
}

test_student_in_lanes() {
    run "$SNAG" lesson emfile --server "$STUDENT good"
    expect_status 0
    expect_has out 'What the server is to do'
    expect_match out '^ *[0-9]+ \| \(is not asked\) +\| accept4,accept'
    run "$SNAG" lesson emfile --server "$STUDENT good" --html student.html
    expect_status 0
    expect_has student.html "student good</code>"
}

test_bad_input() {
    local line
    while IFS='|' read -r line want; do
        # shellcheck disable=SC2086
        run "$SNAG" lesson $line
        expect_equal "status of: $line" "$status" 125
        expect_has err "$want"
        expect_empty out
    done <<'EOT'
emfil|no lesson 'emfil'; did you mean emfile?
qqqqqqq|no lesson 'qqqqqqq'; snag lesson lists them
emfile several|several: one lesson at a time
emfile --lang xx|--lang xx: there are en and zh
emfile --with libuv|--with libuv: expected libevent
emfile --with libevent --check|the lessons speak of our listener
emfile --with libevent --server x|not together with --with
emfile --check --html x|not together with --html
emfile --html x --step|not together with --step and --exercise
emfile --all x|leave the name out
--check|which one? snag lesson lists them
emfile --server /no/such/program|/no/such/program
emfile --server no/such --check|no/such
flags --server x|for a server of your own there are: connection, several, bufferevent, zero-length, retriable, emfile
emfile -o /no/such/file|can't write /no/such/file
emfile --frob|see snag lesson --help
EOT
}

test_full_disk() {
    local line
    for line in '' 'connection' 'connection --check'; do
        run sh -c "'$SNAG' lesson $line >/dev/full"
        expect_status 125
        expect_has err "can't write to standard output: No space left on device"
    done
}

test_help() {
    run "$SNAG" lesson --help
    expect_status 0
    expect_has out 'usage: snag lesson'
    [ "$(wc -L <out)" -le 125 ] || fail "a line is too long"
}

# Nothing stays behind when it is interrupted in the middle.
test_interrupted() {
    start "$SNAG" lesson emfile --server "$STUDENT silent-and-stays" --check
    wait_for 10 pgrep -P "$pid" -f silent-and-stays
    stop "$pid" INT
    expect_status 130
}

# --- A listener that was broken on purpose ---------------------------------------------------------------------------------

# Compiles SOURCE of the listener and of the lessons' servers into the folder `objects`.
compile() {
    local flags
    flags=$(pkg-config --cflags libevent_core libevent_pthreads)
    # shellcheck disable=SC2086
    (cd "$2" && gcc -std=c11 -O1 -g -D_GNU_SOURCE -I. -Iinject -Ilistener $flags -pthread -c -o "$3" "$1")
}

# Makes a copy of snag beside a server whose listener's FILE was changed by the sed SCRIPT; runs LESSON, whose claim that
# has TEXT in it must fail.
broken() {
    local lesson=$1 file=$2 script=$3 text=$4
    sed "$script" "$tests_root/$file" >"tree/$file"
    ! cmp -s "$tests_root/$file" "tree/$file" || fail "$script changes nothing in $file"
    compile "$file" tree "$PWD/tree/broken.o"
    cp -r objects changed
    mv tree/broken.o "changed/${file//\//-}.o"
    # shellcheck disable=SC2046
    gcc -pthread -o copy/lesson-server changed/*.o $(pkg-config --libs libevent_core libevent_pthreads)
    rm -r changed
    cp "$tests_root/$file" "tree/$file"
    run copy/snag lesson "$lesson" --check
    expect_equal "status of $lesson with $script" "$status" 1
    jq -r '.checks[] | select(.passed | not) | .text' out >failed
    expect_has failed "$text"
}

test_broken_listener_is_noticed() {
    local file
    mkdir -p objects copy tree/inject/lesson
    cp -r "$tests_root/listener" tree/
    cp -r "$tests_root/inject/lesson/server" tree/inject/lesson/
    cp "$SNAG" "$SHIM" copy/
    (cd tree && printf '%s\n' listener/*.c inject/lesson/server/*.c | grep -v original) >files
    while read -r file; do
        compile "$file" tree "$PWD/objects/${file//\//-}.o"
    done <files
    broken several listener/round.c 's/while (r.goes_on)/if (r.goes_on)/' 'All 3 clients are taken in 1 round.'
    broken disable-in-callback listener/round.c 's/    return round_goes_on(e);/    return true;/' 'The round stops at once'
    broken zero-length listener/round.c 's/^    close(s);$/    (void)s;/' 'The listener closes that descriptor itself.'
    broken emfile-backoff listener/loop.c 's/PAUSE_FIRST_MS = 10,/PAUSE_FIRST_MS = 15,/' 'The pauses are 10, 20 and 40 ms.'
    broken backlog listener/loop.c 's/BACKLOG_DEFAULT = 128/BACKLOG_DEFAULT = 129/' 'Backlog -1 becomes listen(fd, 128).'
    broken retriable listener/error.c 's/case EINTR:/case EINTR + 1000:/' 'EINTR ends the round in silence.'
    broken flags listener/bind.c 's/{LEV_OPT_REUSEABLE, SOL_SOCKET, SO_REUSEADDR, 1},//' 'LEV_OPT_REUSEABLE: SO_REUSEADDR becomes 1.'
    broken start-failures listener/bind.c 's/^    close(fd);$//' 'the listener closes that socket'
    broken start-failures listener/loop.c 's/^    observe_failure(error);$/&\n    close(fd);/' 'is given a datagram socket'
    broken retriable listener/policy.c 's/ : EVCONNLISTENER_ACTION_NEXT/ : ACTION_SILENT/' 'ECONNABORTED is of class connection'
    broken emfile-loopexit listener/round.c 's/^    errno = error;$/    errno = 0;/' 'It finds EMFILE in errno'
    broken emfile-shed listener/shed.c 's/^    shed_keep_spare(e);$//' 'Then the spare is there again'
    broken flags listener/bind.c 's/TCP_DEFER_ACCEPT, 1}/TCP_DEFER_ACCEPT, 0}/' 'TCP_DEFER_ACCEPT becomes 1'
    broken null-callback listener/round.c 's/return step == EVCONNLISTENER_STEP_ZERO_LENGTH;/return true;/' \
        'After evconnlistener_set_cb(NULL) the listener stays in the loop'
    broken emfile listener/error.c 's/!unlimited && //' '6 lines of log'
}

tests_main "$@"
