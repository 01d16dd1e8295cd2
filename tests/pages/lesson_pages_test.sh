#!/bin/bash
# The pages of the lessons in headless Chromium, at 1280 and at 390 pixels, by mouse and by keyboard.  `make check-pages`.
# shellcheck source=browser.sh
. "${0%/*}/browser.sh"

# The current step, what marks it, and the line that is marked in the source.
where='var row = document.querySelector("tr[aria-current=step]"), lanes = document.getElementById("lanes").getBoundingClientRect(),
    box = row.getBoundingClientRect(), mark = document.querySelector("#source .current"),
    pane = document.getElementById("source").getBoundingClientRect(), line = mark && mark.getBoundingClientRect();
    return { step: Number(row.id.slice(5)), text: document.getElementById("where").textContent,
      slider: Number(document.getElementById("slider").value), said: document.getElementById("now").textContent,
      seen: box.top >= lanes.top - 1 && box.bottom <= lanes.bottom + 1,
      line: mark ? mark.textContent : "", lineSeen: !mark || (line.top >= pane.top - 1 && line.bottom <= pane.bottom + 1),
      place: document.getElementById("place").textContent, state: document.getElementById("state").textContent,
      wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      playing: document.getElementById("play").textContent };'

expect_step() {
    in_page "$where"
    expect_json answer ".step == $1 and .slider == $1 and .seen and .lineSeen and (.wide | not) and (.said | length) > 3"
}

make_pages() {
    "$SNAG" lesson --all pages
}

by_keyboard() {
    local last
    open_page pages/emfile.html "$1"
    expect_step 1
    press "$RIGHT"
    press "$RIGHT"
    expect_step 3
    press "$LEFT"
    expect_step 2
    press "$END"
    in_page "$where"
    expect_json answer '.step > 50 and (.text | test("^(\\d+) / \\1$")) and .seen'
    last=$(jq .step answer)
    press "$RIGHT"
    expect_step "$last"
    press "$HOME_KEY"
    expect_step 1
    # Everything can be reached and used without a mouse: Tab to the button, then Enter.
    in_page 'document.getElementById("back").disabled || 0; document.getElementById("play").focus(); return 1;'
    press "$TAB"
    in_page 'return document.activeElement.id;'
    expect_json answer '. == "forward"'
    press "$ENTER"
    expect_step 2
    in_page 'document.activeElement.blur(); return 1;'
    press ' '
    in_page "$where"
    expect_json answer '.playing == "Pause"'
    press ' '
    in_page "$where"
    expect_json answer '.playing == "Play"'
}

by_mouse() {
    open_page pages/emfile.html "$1"
    click '#forward'
    click '#forward'
    expect_step 3
    click '#back'
    expect_step 2
    click '#step-16'
    expect_step 16
    click '#last'
    in_page "$where"
    expect_json answer '.step > 50 and .seen'
    click '#first'
    expect_step 1
    click '[data-function="listener/round.c round_failed"]'
    in_page "$where"
    expect_json answer '(.line | contains("round_failed(")) and .lineSeen and (.place | startswith("listener/round.c:"))'
    click '#exercise label:nth-of-type(1) input'
    click '#exercise button'
    in_page 'return document.querySelector("output").className;'
    expect_json answer '. == "wrong"'
    click '#exercise label:nth-of-type(2) input'
    click '#exercise button'
    in_page 'return document.querySelector("output").className;'
    expect_json answer '. == "right"'
}

has_played() {
    in_page "$where"
    jq -e '.step > 2' answer >/dev/null
}

test_keyboard_1280() { make_pages; by_keyboard 1280; end_driver; }
test_keyboard_390() { make_pages; by_keyboard 390; end_driver; }
test_mouse_1280() { make_pages; by_mouse 1280; end_driver; }
test_mouse_390() { make_pages; by_mouse 390; end_driver; }

test_plays() {
    make_pages
    open_page pages/several.html 1280
    click '#play'
    wait_for 20 has_played
    click '#play'
    end_driver
}

# Each step of each page has its row, its line and its state; nothing is too wide; the browser complains of nothing.
test_each_page() {
    local page
    make_pages
    open_page pages/index.html 390
    for page in pages/*.html pages/zh/*.html; do
        request POST "session/$session/url" "$(jq -n --arg url "file://$PWD/$page" '{url: $url}')"
        in_page 'return document.documentElement.scrollWidth > document.documentElement.clientWidth;'
        expect_equal "$page is too wide" "$(cat answer)" false
        request POST "session/$session/se/log" '{"type": "browser"}'
        expect_equal "complaints about $page" "$(jq -c . answer)" '[]'
        case $page in */index.html) continue ;; esac
        in_page 'var bad = [], data = JSON.parse(document.getElementById("data").textContent), n = data.steps.length;
            for (var i = 1; i <= n; i++) {
              document.getElementById("step-" + i).click();
              var step = data.steps[i - 1], mark = document.querySelector("#source .current");
              if (document.querySelector("tr[aria-current]").id !== "step-" + i) bad.push(i + ": row");
              if (step.file && (!mark || mark.textContent !== step.line + data.sources[step.file].split("\n")[step.line - 1]))
                bad.push(i + ": line");
              if (step.enabled !== undefined && !document.getElementById("state").children.length) bad.push(i + ": state");
            }
            return bad;'
        expect_equal "steps of $page" "$(jq -c . answer)" '[]'
    done
    end_driver
}

# The contrast of text and its background, at least 4.5 (WCAG AA), light and dark; every control has a name.
test_accessible() {
    local scheme
    make_pages
    open_page pages/emfile.html 1280
    for scheme in light dark; do
        request POST "session/$session/goog/cdp/execute" "$(jq -n --arg scheme $scheme '{cmd: "Emulation.setEmulatedMedia",
            params: {features: [{name: "prefers-color-scheme", value: $scheme}]}}')"
        in_page 'function rgb(text) { return text.match(/[\d.]+/g).map(Number); }
            function light(c) { return c.slice(0, 3).map(function (v) { v /= 255;
              return v <= .03928 ? v / 12.92 : Math.pow((v + .055) / 1.055, 2.4); })
              .reduce(function (sum, v, i) { return sum + v * [.2126, .7152, .0722][i]; }, 0); }
            function behind(e) { for (; e; e = e.parentElement) { var c = rgb(getComputedStyle(e).backgroundColor);
              if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; }
            var bad = [];
            document.getElementById("step-16").click();
            document.querySelectorAll("body *").forEach(function (e) {
              var own = [].some.call(e.childNodes, function (n) { return n.nodeType === 3 && n.textContent.trim(); });
              if (!own || !e.getClientRects().length || e.disabled || e.closest("[disabled], script, option")) return;
              var a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
              var ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
              if (ratio < 4.5) bad.push(e.tagName + "." + e.className + " " + ratio.toFixed(2) + " " + e.textContent.slice(0, 20));
            });
            return [bad, getComputedStyle(document.body).backgroundColor];'
        expect_equal "contrast, $scheme" "$(jq -c '.[0]' answer)" '[]'
        expect_json answer ".[1] == \"$([ $scheme = dark ] && echo 'rgb(13, 17, 23)' || echo 'rgb(255, 255, 255)')\""
    done
    in_page 'return [].filter.call(document.querySelectorAll("button, input, [tabindex], nav, section#player"), function (e) {
        return !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label")); }).length;'
    expect_equal 'controls without a name' "$(cat answer)" 0
    end_driver
}

tests_main "$@"
