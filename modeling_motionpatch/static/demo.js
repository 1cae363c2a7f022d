/* The page of the demo: a query goes out, hits come back and play. What visitors or files say is only ever set as text. */
"use strict";

(function () {
  const at = id => document.getElementById(id);
  let info = null, asked = 0;

  function make(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function fail(message) {
    at("error").textContent = message;
    at("error").hidden = !message;
  }

  function clear() {
    fail("");
    at("hits").replaceChildren();
    at("query").replaceChildren();
    at("query").hidden = true;
  }

  async function ask(path, body, type, what) {
    const number = ++asked;
    clear();
    at("go").disabled = true;
    at("status").textContent = "Searching …";
    let answer;
    try {
      const response = await fetch(path, { method: "POST", headers: { "Content-Type": type }, body });
      answer = await response.json();
    } catch (error) {
      answer = { error: "The demo does not answer. Is it still running?" };
    }
    if (number !== asked) return; // a later query is on its way
    at("go").disabled = false;
    at("status").textContent = "";
    if (answer.error) fail(answer.error); else show(answer, what);
  }

  function show(answer, what) {
    at("status").textContent = answer.hits.length + " hits for " + what + " in " + answer.seconds.toFixed(2) + " s";
    if (answer.clip) {
      const card = make("div", "hit"), stage = make("div", "stage");
      at("query").hidden = false;
      card.append(stage, make("p", "caption", answer.caption));
      for (const note of answer.notes) card.append(make("p", "facts", note));
      at("query").append(make("h2", "", "Your motion"), card, make("h2", "", "Nearest to it"));
      MotionPlayer.add(stage, answer.clip);
    }
    answer.hits.forEach((hit, index) => at("hits").append(cardOf(hit, index)));
  }

  function cardOf(hit, index) {
    const card = make("li", "hit"), stage = make("div", "stage"), caption = make("p", "caption", hit.caption || hit.id);
    const facts = make("p", "facts"), score = make("span", "", "score "), bar = make("div", "score"), part = make("i");
    card.dataset.row = hit.row;
    caption.prepend(make("span", "rank", String(index + 1)));
    score.append(make("b", "", hit.score.toFixed(3)));
    facts.append(score);
    if (hit.start !== null) facts.append(make("span", "time", hit.start.toFixed(1) + " – " + hit.end.toFixed(1) + " s"));
    facts.append(make("span", "id", hit.id));
    part.style.width = 100 * Math.max(0, Math.min(1, hit.score)) + "%";
    bar.append(part);
    const more = make("button", "more", "More like this");
    more.type = "button";
    more.onclick = () => ask("similar", JSON.stringify({ row: hit.row, k: count() }), "application/json", "motions like " + hit.id);
    card.append(stage, caption, bar, facts, more);
    if (hit.clip) MotionPlayer.add(stage, hit.clip); else stage.append(make("p", "missing", hit.missing));
    return card;
  }

  const count = () => Number(at("k").value);
  const mega = bytes => (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 0) + " MB";

  function searchText(text) {
    ask("text", JSON.stringify({ text, k: count() }), "application/json", "“" + text.trim() + "”");
  }

  function searchFiles(files) {
    files = Array.from(files);
    const size = files.reduce((sum, file) => sum + file.size, 0), names = files.map(file => file.name).join(", ");
    if (!files.length) return;
    if (info && size > info.max_upload_bytes) {
      clear();
      at("status").textContent = "";
      fail(names + ": " + mega(size) + " are too much; at most " + mega(info.max_upload_bytes) + " are read.");
      return;
    }
    const fields = new URLSearchParams({ k: count() });
    for (const file of files) { fields.append("name", file.name); fields.append("size", file.size); }
    ask("motion?" + fields, new Blob(files), "application/octet-stream", names);
  }

  at("search").onsubmit = event => { event.preventDefault(); searchText(at("text").value); };
  at("files").onchange = () => { searchFiles(at("files").files); at("files").value = ""; };
  at("drop").ondragover = event => { event.preventDefault(); at("drop").classList.add("over"); };
  at("drop").ondragleave = () => at("drop").classList.remove("over");
  at("drop").ondrop = event => {
    event.preventDefault();
    at("drop").classList.remove("over");
    searchFiles(event.dataTransfer.files);
  };

  fetch("info").then(response => response.json()).then(told => {
    info = told;
    document.title = at("title").textContent = info.title;
    at("size").textContent = "This gallery holds " + info.windows + " moments.";
    at("text").maxLength = info.max_text;
    at("files").accept = info.suffixes.join(",");
    at("limits").textContent = info.suffixes.join(", ") + "; up to " + mega(info.max_upload_bytes) + ". An AMC file comes with its ASF file.";
    for (const example of info.examples) {
      const button = make("button", "", example);
      button.type = "button";
      button.onclick = () => { at("text").value = example; searchText(example); };
      at("examples").append(button);
    }
  }).catch(() => fail("The demo does not answer. Is it still running?"));
})();
