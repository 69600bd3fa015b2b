// The page round the search: what is typed, what is shown, and the keys. A document's text is never HTML.
"use strict";

const HITS = 10, PAUSE = 80;
const SETTLES = 2000;  // passages that are made exact while the page waits; of a larger site only what is asked for is
const SLICE = 12;      // milliseconds that the browser has to have left for one
const byId = (id) => document.getElementById(id);
const say = (text) => { byId("status").textContent = text; };
let engine = null, timer = 0, asked = 0, busy = 0, inSight = [];  // the hits that are shown

function make(name, text, kind) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

// Where words of the query stand in a text, or begin there.
function spansOf(text, query) {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) || [], lower = text.toLowerCase(), spans = [];
  if (lower.length !== text.length) return [];  // whose letters are not where they are in the text
  for (const word of new Set(words)) {
    for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, at + word.length)) {
      spans.push([at, at + word.length]);
    }
  }
  return spans.sort((a, b) => a[0] - b[0]);
}

function marked(text, spans) {
  const nodes = [];
  let at = 0;
  for (const [start, end] of spans) {
    if (start < at) continue;
    nodes.push(document.createTextNode(text.slice(at, start)), make("mark", text.slice(start, end)));
    at = end;
  }
  nodes.push(document.createTextNode(text.slice(at)));
  return nodes;
}

function shown(hit, query) {
  const item = make("li"), card = make("article"), name = hit.title || hit.id, heading = make("h2");
  if (hit.url) {
    const link = make("a", name);
    link.href = hit.url;
    heading.append(link);
  } else heading.textContent = name;
  const passage = make("p", undefined, "passage"), open = make("button", "Open");
  passage.tabIndex = 0;
  passage.append(...marked(hit.passage, spansOf(hit.passage, query)));
  open.type = "button";
  open.setAttribute("aria-label", "Open " + name);
  open.addEventListener("click", () => openSource(hit, name));
  card.tabIndex = -1;
  card.append(heading, make("p", `${hit.id}, score ${hit.score.toFixed(2)}`, "place"), passage, open);
  item.append(card);
  return item;
}

function openSource(hit, name) {
  byId("source-title").textContent = name;
  byId("source-text").replaceChildren(...marked(hit.text, [[hit.start, hit.end]]));
  byId("source").showModal();
  const place = byId("source-text").querySelector("mark");
  if (place) place.scrollIntoView({ block: "center" });
}

// Shows hits where they are others than before; who was at one of them stays there.
function show({ hits, pieces }, query, took) {
  const facts = (list) => JSON.stringify(list.map(({ id, start, score }) => [id, start, score.toFixed(2)]));
  if (query !== inSight.query || facts(hits) !== facts(inSight)) {
    const cards = [...document.querySelectorAll("#hits article")];
    const at = inSight[cards.findIndex((card) => card.contains(document.activeElement))];
    byId("hits").replaceChildren(...hits.map((hit) => shown(hit, query)));
    inSight = Object.assign(hits, { query });
    const same = hits.findIndex((hit) => at && hit.id === at.id);
    if (same >= 0) document.querySelectorAll("#hits article")[same].focus();
  }
  const ms = Math.max(1, Math.round(took));
  if (!pieces) say("The model knows no word of this");
  else say(hits.length ? `${hits.length} ${hits.length === 1 ? "hit" : "hits"} in ${ms} ms` : "Nothing found");
}

const breath = () => new Promise((resolve) => { setTimeout(resolve); });

// Shows hits at once, and again whenever more of them is exact.
async function search() {
  const query = byId("query").value.trim(), mine = asked += 1;
  history.replaceState(null, "", query ? "#q=" + encodeURIComponent(query) : location.pathname + location.search);
  if (!engine) return;
  if (!query) { byId("hits").replaceChildren(); inSight = []; sayWhatIsHere(); return; }
  busy += 1;
  try {
    const began = performance.now();
    for (const answer of engine.steps(query, HITS)) {
      show(answer, query, performance.now() - began);
      await breath();
      if (mine !== asked) return;
    }
    settle();
  } catch (error) { say(error.message); } finally { busy -= 1; }
}

// Once somebody has searched, makes the rest exact while nothing else is to do; what is shown is then asked again.
let settling = false;
function settle() {
  if (settling || !engine.waiting || engine.waiting > SETTLES) return;
  settling = true;
  const later = (work) => setTimeout(() => {  // where a browser does not say when it is idle
    const until = performance.now() + 4 * SLICE;
    work({ timeRemaining: () => until - performance.now() });
  }, 3 * SLICE);
  const idle = window.requestIdleCallback || later;
  const work = (deadline) => {
    while (!busy && engine.waiting && deadline.timeRemaining() > SLICE) engine.settle(1);
    if (engine.waiting) { idle(work); return; }
    if (byId("query").value.trim()) search();
  };
  idle(work);
}

function sayWhatIsHere() {
  const count = engine.documents.length;
  say(`${count.toLocaleString()} ${count === 1 ? "document" : "documents"}; what you search for stays in this page`);
}

function move(step) {
  const cards = [...document.querySelectorAll("#hits article")];
  const at = cards.findIndex((card) => card.contains(document.activeElement));
  const next = cards[at < 0 ? (step > 0 ? 0 : -1) : at + step];
  if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); } else if (step < 0) byId("query").focus();
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("source").open) return;
  const card = event.target.closest && event.target.closest("#hits article");
  if (event.key === "ArrowDown" && event.target.id === "query") move(1);
  else if (event.target.id === "query") { if (event.key === "Escape") event.target.blur(); return; }
  else if (event.key === "/") { byId("query").focus(); byId("query").select(); }
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "Enter" && event.target === card) card.querySelector("button").click();
  else return;
  event.preventDefault();
}

// The bundle: inside a page that is one file, else beside the page.
async function bundle() {
  const inside = byId("bundle");
  if (inside) {
    const text = atob(inside.textContent.trim()), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
    return bytes.buffer;
  }
  if (location.protocol === "file:") {
    throw new Error("A browser does not let a page read the file beside it: serve the folder (python -m http.server), "
      + "or export one file (femtosearch export --web INDEX page.html)");
  }
  const response = await fetch("search.bin");
  if (!response.ok) throw new Error(`search.bin: HTTP ${response.status}`);
  return response.arrayBuffer();
}

async function start() {
  say("Loading");
  try { engine = await FemtoSearch.open(await bundle()); } catch (error) { say(error.message); return; }
  sayWhatIsHere();
  const part = /^#q=(.*)/.exec(location.hash);
  if (part && !byId("query").value) { try { byId("query").value = decodeURIComponent(part[1]); } catch { return; } }
  if (byId("query").value) search();
}

document.addEventListener("keydown", press);
byId("query").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, PAUSE); });
byId("ask").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); search(); move(1); });
byId("close").addEventListener("click", () => byId("source").close());
start();
