#!/bin/bash
# The pages of the lessons in headless Chromium, at 1280 and at 390 pixels, by mouse and by keyboard.  `make check-pages`.
. "${0%/*}/../cli/harness.sh"

driver="" session=""

# request METHOD PATH [JSON]: asks the driver; its answer's value goes to the file `answer`.
request() {
    curl -sS --max-time 30 -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "$driver/$2" >raw ||
        fail "$1 $2: no answer"
    jq .value raw >answer
    ! jq -e '.error? // empty' answer >/dev/null 2>&1 || fail "$1 $2: $(jq -r .message answer | head -n 1)"
}

# in_page SCRIPT: runs it; what it returns goes to the file `answer`.
in_page() {
    request POST "session/$session/execute/sync" "$(jq -n --arg script "$1" '{script: $script, args: []}')"
}

is_up() {
    curl -sS --max-time 2 "$driver/status" 2>/dev/null | grep -q '"ready":true'
}

# Opens page $1 in a window of $2 pixels; more of Chromium's arguments after that.
open_page() {
    local port page=$1 width=$2
    shift 2
    command -v chromedriver >/dev/null || fail 'chromedriver is missing: scripts/deps pages'
    if [ -z "$driver" ]; then
        port=$(free_port)
        driver=http://127.0.0.1:$port
        start chromedriver --port="$port"
        chromedriver_pid=$pid
        wait_for 20 is_up
    fi
    request POST session "$(jq -n '{capabilities: {alwaysMatch: {browserName: "chrome", "goog:loggingPrefs": {browser: "ALL"},
        "goog:chromeOptions": {args: (["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--user-data-dir=\($folder)/profile"] + $ARGS.positional)}}}}' --arg folder "$PWD" --args "$@")"
    session=$(jq -r .sessionId answer)
    # As a telephone has it: a window can't be made as narrow as 390 pixels.
    request POST "session/$session/goog/cdp/execute" "$(jq -n --argjson width "$width" '{cmd: "Emulation.setDeviceMetricsOverride",
        params: {width: $width, height: 844, deviceScaleFactor: 1, mobile: ($width < 600)}}')"
    request POST "session/$session/url" "$(jq -n --arg url "file://$PWD/$page" '{url: $url}')"
}

close_page() {
    [ -z "$session" ] || request DELETE "session/$session"
    session=
}

end_driver() {
    close_page
    stop "$chromedriver_pid"
}

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

press() {
    request POST "session/$session/actions" "$(jq -n --arg key "$1" '{actions: [{type: "key", id: "keys", actions:
        [{type: "keyDown", value: $key}, {type: "keyUp", value: $key}]}]}')"
}

# Clicks what the CSS selector $1 finds, with the mouse, in the middle of it.
click() {
    in_page "document.querySelector('$1').scrollIntoView({block: 'center'}); return 1;"
    request POST "session/$session/element" "$(jq -n --arg css "$1" '{using: "css selector", value: $css}')"
    request POST "session/$session/element/$(jq -r '.[]' answer)/click" '{}'
}

make_pages() {
    "$SNAG" lesson --all pages
}

LEFT=$'\xee\x80\x92' RIGHT=$'\xee\x80\x94' HOME_KEY=$'\xee\x80\x91' END=$'\xee\x80\x90' TAB=$'\xee\x80\x84' ENTER=$'\xee\x80\x87'

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
