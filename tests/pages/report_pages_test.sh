#!/bin/bash
# report.html of an exploration in headless Chromium, at 1280 and at 390 pixels, by mouse and by keyboard.
# shellcheck source=browser.sh
. "${0%/*}/browser.sh"
TEST_SECONDS=${TEST_SECONDS:-120}

case_id=accept4-emfile-held@take

make_report() {
    run "$SNAG" explore -o campaign --hold 600ms --patience 1s --send 'hi\n' --expect hi --faults EMFILE,EINTR,EADDRINUSE \
        --modes once,held,nth -- "$(program wrong)" markup "$(free_port)"
    expect_status 1
}

# What the page shows now.
# shellcheck disable=SC2016
state='var open = [].map.call(document.querySelectorAll("details[open]"), function (d) { return d.id; }),
    active = document.activeElement, box = active.getBoundingClientRect(),
    body = document.querySelector("details[open] .body");
    return { open: open, focus: active.tagName, seen: box.top >= 0 && box.top < innerHeight,
      text: body ? body.innerText : "", drawn: body ? body.querySelectorAll("svg path, svg polyline").length : 0,
      wide: document.documentElement.scrollWidth > document.documentElement.clientWidth };'

expect_case() {
    in_page "$state"
    expect_json answer ".open == [\"$case_id\"] and .focus == \"SUMMARY\" and .seen and (.wide | not)"
    expect_json answer '.text | contains("failing calls a second") and contains("snag replay campaign/cases/'$case_id'")
        and contains("accept4:error=EMFILE") and contains("wrong.c:") and contains("<script>alert(")'
    expect_json answer '.drawn > 0'
}

# Nothing is too wide, nothing was loaded or complained about, and every link of the matrix leads to its case.
expect_whole() {
    in_page 'var bad = [].filter.call(document.querySelectorAll("td a"), function (a) {
            var d = document.getElementById(decodeURIComponent(a.hash.slice(1))); return !d || d.tagName !== "DETAILS"; });
        return { bad: bad.length, links: document.querySelectorAll("td a").length,
          cases: document.querySelectorAll("details").length, loaded: performance.getEntriesByType("resource").length };'
    expect_json answer '.bad == 0 and .links == .cases and .cases >= 5 and .loaded == 0'
    request POST "session/$session/se/log" '{"type": "browser"}'
    expect_equal 'complaints' "$(jq -c . answer)" '[]'
}

by_mouse() {
    make_report
    open_page campaign/report.html "$1"
    expect_whole
    click "td a[href=\"#$case_id\"]"
    expect_case
    end_driver
}

# Tab by tab to the cell, Enter, and Enter again to close what it opened.
by_keyboard() {
    make_report
    open_page campaign/report.html "$1"
    for _ in {1..30}; do
        press "$TAB"
        in_page 'return document.activeElement.hash || "";'
        [ "$(jq -r . answer)" != "#$case_id" ] || break
    done
    expect_equal 'the link that has the focus' "$(jq -r . answer)" "#$case_id"
    press "$ENTER"
    expect_case
    press "$ENTER"
    in_page "$state"
    expect_json answer '.open == []'
    end_driver
}

test_mouse_1280() { by_mouse 1280; }
test_mouse_390() { by_mouse 390; }
test_keyboard_1280() { by_keyboard 1280; }
test_keyboard_390() { by_keyboard 390; }

tests_main "$@"
