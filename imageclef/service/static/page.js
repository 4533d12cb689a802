// The page: what is asked, what is shown, and the way back.

import { TokenNeeded, ask, detect, enter, facts, original, similar, thumbnail } from "./api.js";
import { whenGiven } from "./giving.js";
import { CollectionMap } from "./map.js";
import { card, chip, make, moveByArrows } from "./results.js";
import { keepTheme } from "./theme.js";

const $ = (id) => document.getElementById(id);
const FIRST = 24, MOST = 192;

let collection = null;
let names = new Map();
let question = { file: null, name: "", id: null, filters: new Map() };
let wanted = FIRST;
let hits = [];
let shared = new Set();
let running = null;
let byKeyboard = false;
let mapByItself = false;
const uploads = new Map();

const map = new CollectionMap($("map-frame"), (id) => { mapByItself = false; search(id); }, (text) => { $("map-says").textContent = text; });

// ---- What is asked ----------------------------------------------------------------------------------------

function search(id) { start({ ...question, file: null, name: "", id }); }

function upload(file) {
  if (!file) return;
  if (file.size > collection.body_bytes - 4096) {
    say(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MiB; expected at most ${collection.body_bytes / 2 ** 20} MiB.`);
    return;
  }
  start({ ...question, file, name: file.name || "pasted image", id: null });
}

function change(concept, want) {
  const filters = new Map(question.filters);
  if (want) filters.set(concept, want);
  else filters.delete(concept);
  start({ ...question, filters });
}

function start(asked, remember = true) {
  const same = asked.id === question.id && asked.file === question.file;
  // A map that nobody asked for makes room for the answers.
  if (mapByItself && (asked.id || asked.file)) toggleMap(false);
  question = asked;
  wanted = FIRST;
  if (remember) {
    const key = uploads.size + 1;
    uploads.set(key, asked);
    const address = new URLSearchParams();
    if (asked.id) address.append("id", asked.id);
    for (const [concept, want] of asked.filters) address.append(want === "require" ? "with" : "without", concept);
    history.pushState({ key }, "", address.size ? `?${address}` : location.pathname);
  }
  run(same);
}

function restore(state) {
  const address = new URLSearchParams(location.search);
  const filters = new Map([
    ...address.getAll("with").map((one) => [one, "require"]),
    ...address.getAll("without").map((one) => [one, "forbid"]),
  ]);
  start(uploads.get(state?.key) ?? { file: null, name: "", id: address.get("id"), filters }, false);
}

// ---- What is shown ----------------------------------------------------------------------------------------

async function run(same = false) {
  running?.abort();
  running = new AbortController();
  const { signal } = running, { file, id } = question;
  say("");
  showFilters();
  if (!same) showQuery();
  $("answers").setAttribute("aria-busy", "true");
  try {
    if (!file && !id) {
      const some = await ask(`images?limit=${FIRST}&sample=true`, { signal });
      show("From the collection", some.images, question.filters.size ? "Choose an image; the filters hold for its search." : "Choose one to search from, or bring your own.");
    } else {
      const looks = file && collection.detects && !same ? detected(file, signal) : null;
      const answer = await similar(question, wanted, signal);
      if (!file) shared = new Set(answer.query.concepts.map((one) => one.concept));
      const count = answer.hits.length;
      show("Most similar", answer.hits, count ? `${count} image${count === 1 ? "" : "s"}, most similar first` : "No image passes the filters.");
      if (!same && byKeyboard && !map.canvas.matches(":focus")) $("results").querySelector("button")?.focus({ preventScroll: true });
      await looks;
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error instanceof TokenNeeded) { askToken(); return; }
    show(file || id ? "Most similar" : "From the collection", [], "");
    say(error.message);
  } finally {
    if (!signal.aborted) $("answers").setAttribute("aria-busy", "false");
  }
}

function show(title, images, status) {
  hits = images;
  $("results-title").textContent = title;
  $("status").textContent = status;
  $("more").hidden = !(question.file || question.id) || images.length < wanted || wanted >= MOST;
  map.mark([question.id, question.file || question.id ? images.map((hit) => hit.id) : []]);
  cards();
}

function cards() {
  const focused = document.activeElement?.dataset;
  const { concept, id } = focused ?? {};
  const place = [...document.querySelectorAll(`#results [data-concept]`)].filter((one) => one.dataset.concept === concept).indexOf(document.activeElement);
  $("results").replaceChildren(...hits.map((hit) => card(hit, question.filters, change, search, shared)));
  // Who works by keyboard stays where they were.
  if (concept) [...document.querySelectorAll("#results [data-concept], #filters [data-concept]")].filter((one) => one.dataset.concept === concept)[Math.max(0, place)]?.focus({ preventScroll: true });
  else if (id) [...document.querySelectorAll("#results [data-id]")].find((one) => one.dataset.id === id)?.focus({ preventScroll: true });
}

function showQuery() {
  const { file, name, id } = question;
  if ($("preview").src.startsWith("blob:")) URL.revokeObjectURL($("preview").src);
  shared = new Set();
  $("preview").hidden = !file && !id;
  $("again").hidden = !file && !id;
  $("query-facts").hidden = true;
  $("id").value = id ?? "";
  $("what").replaceChildren(make("strong", { text: file ? name : id ?? "Search from an image" }));
  document.title = file || id ? `${file ? name : id} – similar images` : "Similar images";
  if (file) {
    $("preview").src = URL.createObjectURL(file);
    $("preview").alt = `The query, ${name}`;
  } else if (id) {
    $("preview").src = thumbnail(id, 512);
    $("preview").alt = `The query, image ${id}`;
    facts(id).then((known) => { if (question.id === id) showFacts("Its concepts", known.concepts.map((one) => [one, null]), known.concepts.length ? "" : "The concept list has none for it."); }, () => {});
  }
}

async function detected(file, signal) {
  try {
    const found = await detect(file, signal);
    const yes = found.concepts.filter((one) => one.detected);
    const shown = [...yes, ...found.concepts.filter((one) => !one.detected).slice(0, 3)];
    shared = new Set(yes.map((one) => one.concept));
    const how = found.copied ? "Copied from an almost equal image." : "Probabilities by the linear classifier; faint ones are not detected.";
    showFacts("Detected concepts", shown.map((one) => [one, one]), how);
    cards();
  } catch (error) {
    if (error.name !== "AbortError") $("query-facts").hidden = true;
  }
}

function showFacts(title, rows, note) {
  $("query-facts").hidden = false;
  $("facts-title").textContent = title;
  $("facts-note").textContent = note;
  $("facts").classList.toggle("chips", !rows.some(([, score]) => score));
  $("facts").replaceChildren(...rows.map(([concept, score]) => make("div", { class: score && !score.detected ? "fact unsure" : "fact" },
    chip(concept, question.filters, change),
    make("b", { text: score ? score.score.toFixed(2) : "", title: score?.threshold ? `threshold ${score.threshold.toFixed(2)}` : "" }))));
}

function showFilters() {
  $("filters").replaceChildren(...[...question.filters.keys()].map((concept) =>
    make("li", {}, chip({ concept, name: names.get(concept) ?? concept }, question.filters, change))));
  for (const one of document.querySelectorAll("#facts .chip")) {
    const concept = one.dataset.concept;
    one.replaceWith(chip({ concept, name: names.get(concept) ?? concept }, question.filters, change));
  }
}

function say(sentence) {
  $("message").textContent = sentence;
  $("message").hidden = !sentence;
}

// ---- The map ----------------------------------------------------------------------------------------------

async function toggleMap(open = $("map-panel").hidden) {
  mapByItself = false;
  $("map-panel").hidden = !open;
  $("map-tools").hidden = !open;
  $("map-toggle").setAttribute("aria-expanded", open);
  if (!open) return;
  try {
    const points = await map.load();
    const shares = points.explained.map((share) => `${(100 * share).toFixed(0)} %`).join(" and ");
    const shown = points.ids.length < points.total ? `${points.ids.length.toLocaleString("en")} of ${points.total.toLocaleString("en")} images; p` : "P";
    map.about = `${shown}rincipal components of the features, with ${shares} of their variance.`;
    legend(null);
    map.draw();
  } catch (error) {
    if (error instanceof TokenNeeded) askToken();
    else say(error.message);
  }
}

function legend(count) {
  const rings = "Rings: the query and what was found.";
  const coloured = count === null ? "" : `${count.toLocaleString("en")} with ${names.get($("colour").value)} in colour. `;
  $("map-legend").textContent = coloured + rings + " " + map.about;
}

// ---- Wiring -----------------------------------------------------------------------------------------------

function askToken() {
  if (!$("ask-token").open) $("ask-token").showModal();
}

async function begin() {
  try {
    collection = await ask("collection");
    const known = (await ask("concepts")).concepts;
    names = new Map(known.map((one) => [one.concept, one.name]));
    $("size").textContent = `${collection.images.toLocaleString("en")} images, ${known.length.toLocaleString("en")} concepts`;
    const label = (one) => (one.name === one.concept ? one.concept : `${one.name} (${one.concept})`);
    $("concepts").replaceChildren(...known.slice(0, 2000).map((one) => make("option", { value: label(one) })));
    $("colour").replaceChildren(make("option", { value: "", text: "nothing" }), ...known.slice(0, 500).map((one) =>
      make("option", { value: one.concept, text: `${one.name}, ${one.images.toLocaleString("en")}` })));
    restore(history.state);
    if (!question.id && matchMedia("(min-width: 70rem) and (min-height: 45rem)").matches) {
      toggleMap(true);
      mapByItself = true;
    }
  } catch (error) {
    if (error instanceof TokenNeeded) askToken();
    else say(error.message);
  }
}

$("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await enter($("token").value);
    $("token").value = "";
    $("token-message").hidden = true;
    $("ask-token").close();
    begin();
  } catch (error) {
    $("token-message").textContent = error.message;
    $("token-message").hidden = false;
  }
});
$("ask-token").addEventListener("cancel", (event) => event.preventDefault());
$("file").addEventListener("change", () => { upload($("file").files[0]); $("file").value = ""; });
$("again").addEventListener("click", () => { start({ file: null, name: "", id: null, filters: question.filters }); $("file").focus(); });
$("by-id").addEventListener("submit", (event) => { event.preventDefault(); const id = $("id").value.trim(); if (id) search(id); });
$("id").addEventListener("input", async () => {
  const part = $("id").value.trim();
  if (!part) return;
  const found = await ask(`images?limit=12&q=${encodeURIComponent(part)}`).catch(() => ({ images: [] }));
  if ($("id").value.trim() === part) $("ids").replaceChildren(...found.images.map((one) => make("option", { value: one.id })));
});
$("add-filter").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("concept").value.trim().toLowerCase();
  const hit = [...names].find(([concept, name]) => [concept, name, `${name} (${concept})`].some((one) => one.toLowerCase() === text));
  if (!hit) { say(`No image of the collection has a concept “${$("concept").value.trim()}”.`); return; }
  $("concept").value = "";
  change(hit[0], event.submitter?.value ?? "require");
});
$("more").addEventListener("click", () => { wanted = Math.min(MOST, wanted * 2); run(true); });
$("map-toggle").addEventListener("click", () => toggleMap());
$("colour").addEventListener("change", async () => legend(await map.colour($("colour").value)));
$("closer").addEventListener("click", () => map.zoom(1.6));
$("farther").addEventListener("click", () => map.zoom(1 / 1.6));
$("whole").addEventListener("click", () => map.whole());
$("results").addEventListener("keydown", (event) => moveByArrows($("results"), event));
addEventListener("popstate", (event) => restore(event.state));

addEventListener("pointerdown", () => { byKeyboard = false; }, true);
addEventListener("keydown", () => { byKeyboard = true; }, true);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea") || $("ask-token").open) return;
  const id = event.target.dataset?.id;
  if (event.key === "/") { event.preventDefault(); $("id").select(); $("id").focus(); }
  else if (event.key === "m") toggleMap();
  else if (event.key === "o" && id) open(original(id), "_blank", "noopener");
});
whenGiven(upload);
keepTheme($("theme"), () => map.draw());
$("filters-more").open = !matchMedia("(max-width: 52rem)").matches;
begin();
