"use strict";
// Steps through the lesson: the row, the source line and the state of the current step are shown together.
(function () {
  var data = JSON.parse(document.getElementById("data").textContent);
  var steps = data.steps, current = 1, timer = null, shownFile = "";
  function id(name) { return document.getElementById(name); }

  function showSource(file, line) {
    var pane = id("source");
    if (file !== shownFile) {
      pane.textContent = "";
      (data.sources[file] || "").replace(/\n$/, "").split("\n").forEach(function (text, i) {
        var row = document.createElement("span"), number = document.createElement("i");
        number.textContent = i + 1;
        row.append(number, text);
        pane.append(row);
      });
      shownFile = file;
    }
    var old = pane.querySelector(".current"), now = pane.children[line - 1];
    if (old) old.classList.remove("current");
    if (!now) return;
    now.classList.add("current");
    pane.scrollTop = now.offsetTop - pane.clientHeight / 2;
    pane.scrollLeft = 0;
    id("place").textContent = file + ":" + line;
  }

  // What is not said of a step is what it was before it.
  function stateAt(n) {
    for (var i = n - 1; i >= 0; i--) if (data.states[i] && steps[i].lane !== "client") return data.states[i].split(data.comma);
    return [];
  }

  function showState(n) {
    var before = n > 1 ? stateAt(n - 1) : [], list = id("state");
    list.textContent = "";
    stateAt(n).forEach(function (text) {
      var item = document.createElement("li");
      item.textContent = text;
      if (before.length && before.indexOf(text) < 0) item.className = "changed";
      list.append(item);
    });
    var step = steps[n - 1], text = step.text && step.ret !== undefined
      ? step.text + " = " + step.ret + (step.errno ? " " + step.errno : "") : "";
    if (step.lane === "client" && data.states[n - 1]) text = data.states[n - 1];
    id("detail").textContent = (step.t_ns / 1e6).toFixed(3) + " ms  " + text;
  }

  function say(row) {
    var parts = [].map.call(row.querySelectorAll("td:not(.empty)"), function (cell) {
      return (cell.dataset.lane ? cell.dataset.lane + ": " : "") + cell.textContent;
    });
    id("now").textContent = parts.join("; ");
  }

  function show(n) {
    current = Math.max(1, Math.min(steps.length, n));
    var old = document.querySelector("tr[aria-current]"), row = id("step-" + current), lanes = id("lanes");
    if (old) old.removeAttribute("aria-current");
    row.setAttribute("aria-current", "step");
    var top = row.getBoundingClientRect().top - lanes.getBoundingClientRect().top + lanes.scrollTop;
    lanes.scrollTop = top - lanes.clientHeight / 2 + row.offsetHeight / 2;
    id("slider").value = current;
    id("where").textContent = current + " / " + steps.length;
    id("back").disabled = id("first").disabled = current === 1;
    id("forward").disabled = id("last").disabled = current === steps.length;
    for (var i = current - 1; i >= 0 && !steps[i].file;) i--;  // what clients do has no source: that of the step before
    if (i >= 0) showSource(steps[i].file, steps[i].line);
    showState(current);
    say(row);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    id("play").textContent = data.play;
  }

  function play() {
    if (timer) return stop();
    if (current === steps.length) show(1);
    id("play").textContent = data.pause;
    timer = setInterval(function () {
      show(current + 1);
      if (current === steps.length) stop();
    }, 1200);
  }

  function go(n) { stop(); show(n); }

  id("first").onclick = function () { go(1); };
  id("back").onclick = function () { go(current - 1); };
  id("forward").onclick = function () { go(current + 1); };
  id("last").onclick = function () { go(steps.length); };
  id("play").onclick = play;
  id("slider").oninput = function () { go(Number(this.value)); };
  document.querySelector("#lanes tbody").onclick = function (event) {
    var row = event.target.closest("tr");
    if (row) go(Number(row.id.slice(5)));
  };

  document.addEventListener("keydown", function (event) {
    var tag = event.target.tagName, keys = { ArrowLeft: -1, ArrowRight: 1 };
    if (tag === "INPUT" || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in keys) go(current + keys[event.key]);
    else if (event.key === "Home") go(1);
    else if (event.key === "End") go(steps.length);
    else if (event.key === " " && tag !== "BUTTON" && tag !== "A") play();
    else return;
    event.preventDefault();
  });

  document.querySelectorAll("[data-function]").forEach(function (link) {
    link.onclick = function () {
      var words = link.dataset.function.split(" "), lines = (data.sources[words[0]] || "").split("\n");
      var at = lines.findIndex(function (line) { return /^\w/.test(line) && line.indexOf(words[1] + "(") >= 0 && !/;$/.test(line); });
      stop();
      showSource(words[0], at + 1);
    };
  });

  var form = id("exercise");
  if (form) form.onsubmit = function (event) {
    var chosen = form.querySelector("input:checked"), said = form.querySelector("output");
    event.preventDefault();
    if (!chosen) return;
    said.className = chosen.value;
    said.textContent = said.dataset[chosen.value];
  };

  show(1);
})();
