// The page: what is asked, what is shown, and the way back.

import { TokenNeeded, ask, original, similar, use } from "./api.js";
import { Atlas } from "./atlas.js";
import { make } from "./elements.js";
import { anyFilters, appendFilters, columnSelects, filtersOf, inForce, noFilters, withColumn, withConcept } from "./filters.js";
import { whenGiven } from "./dropzone.js";
import { OUTLINED } from "./explain.js";
import { QueryPanel } from "./query.js";
import { card, inCommon, moveByArrows } from "./results.js";
import { keepTheme } from "./theme.js";
import { TokenDialog } from "./token.js";

const $ = (id) => document.getElementById(id);
const FIRST = 24, MOST = 192;

let collection = null;
let names = new Map();
let columns = [];
let question = { file: null, name: "", id: null, filters: noFilters(), why: false, profile: null };
let wanted = FIRST;
let hits = [];
let shared = new Set();
let known = null;
let running = null;
let byKeyboard = false;
const uploads = new Map();

const panel = new QueryPanel(changeConcept);
const atlas = new Atlas(search, fails);
const token = new TokenDialog($("ask-token"), begin);

// ---- What is asked ----------------------------------------------------------------------------------------

function search(id) { start({ ...question, file: null, name: "", id }); }

async function upload(file) {
  if (!file || !collection) return;
  const name = file.name || "The pasted image";
  if (file.size > collection.body_bytes - 4096) {
    say(`${name} has ${(file.size / 2 ** 20).toFixed(1)} MiB; expected at most ${collection.body_bytes / 2 ** 20} MiB.`);
    return;
  }
  // A folder, or a file that has gone or changed since it was chosen, fails here and not on its way.
  if (!await file.slice(0, 1).arrayBuffer().catch(() => null)) {
    say(`${name} cannot be read; expected an image file.`);
    return;
  }
  start({ ...question, file, name: file.name || "pasted image", id: null });
}

function changeConcept(concept, want) { start({ ...question, filters: withConcept(question.filters, concept, want) }); }
function changeColumn(column, value) { start({ ...question, filters: withColumn(question.filters, column, value) }); }
function explain() { if (!$("why").hidden) start({ ...question, why: !question.why }); }

async function start(asked, remember = true) {
  const same = asked.id === question.id && asked.file === question.file && asked.profile === question.profile;
  const other = asked.profile !== question.profile;
  if (asked.id || asked.file) atlas.giveWay();
  question = asked;
  wanted = FIRST;
  if (remember) {
    const key = uploads.size + 1;
    uploads.set(key, asked);
    const address = addressOf(asked);
    history.pushState({ key }, "", address.size ? `?${address}` : location.pathname);
  }
  if (!other || await refresh()) run(same);
}

function addressOf(asked) {
  const address = new URLSearchParams();
  if (asked.profile !== null) address.append("profile", asked.profile);
  if (asked.id) address.append("id", asked.id);
  appendFilters(address, asked.filters);
  if (asked.why) address.append("why", "1");
  return address;
}

function restore(state) {
  const address = new URLSearchParams(location.search);
  const asked = { file: null, name: "", id: address.get("id"), filters: filtersOf(address), why: address.has("why"), profile: address.get("profile") };
  return start(uploads.get(state?.key) ?? asked, false);
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
      show("From the collection", some.images, anyFilters(question.filters) ? "Choose an image; the filters hold for its search." : "Choose one to search from, or bring your own.");
    } else {
      const looks = file && collection.detects && !same ? panel.detected(file, question.filters.concepts, signal) : null;
      const answer = await similar(question, wanted, signal);
      if (!file || question.why) shared = new Set(answer.query.concepts.map((one) => one.concept));
      known = question.why ? answer.query.concepts.length : null;
      const count = answer.hits.length;
      show("Most similar", answer.hits, count ? `${count} image${count === 1 ? "" : "s"}, most similar first` : "No image passes the filters.", answer.explained);
      if (!same && byKeyboard && !atlas.focused) $("results").querySelector("button")?.focus({ preventScroll: true });
      const detected = await looks;
      if (detected && !signal.aborted) { shared = new Set(detected); cards(); }
      // The index has grown or shrunk since the page was opened.
      if (answer.state !== collection.state) await refresh();
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    show(file || id ? "Most similar" : "From the collection", [], "");
    fails(error);
  } finally {
    if (!signal.aborted) $("answers").setAttribute("aria-busy", "false");
  }
}

function show(title, images, status, explained = null) {
  const asked = Boolean(question.file || question.id);
  hits = images;
  $("results-title").textContent = title;
  $("status").textContent = status;
  $("why").hidden = !asked;
  $("why").setAttribute("aria-pressed", question.why);
  $("why-note").hidden = !explained;
  $("why-note").textContent = images.some((hit) => hit.regions) ? `${explained} ${OUTLINED}` : explained ?? "";
  $("more").hidden = !asked || images.length < wanted || wanted >= MOST;
  atlas.mark(question.id, asked ? images.map((hit) => hit.id) : []);
  panel.explain(images[0]);
  cards();
}

function cards() {
  const focused = document.activeElement?.dataset;
  const { concept, id } = focused ?? {};
  const place = [...document.querySelectorAll(`#results [data-concept]`)].filter((one) => one.dataset.concept === concept).indexOf(document.activeElement);
  $("results").replaceChildren(...hits.map((hit) => {
    const element = card(hit, question.filters.concepts, changeConcept, search, shared);
    if (known) element.querySelector(".line").after(inCommon(hit, known));
    for (const kind of ["pointerenter", "focusin"]) element.addEventListener(kind, () => panel.explain(hit));
    return element;
  }));
  // Who works by keyboard stays where they were.
  if (concept) [...document.querySelectorAll("#results [data-concept], #filters [data-concept]")].filter((one) => one.dataset.concept === concept)[Math.max(0, place)]?.focus({ preventScroll: true });
  else if (id) [...document.querySelectorAll("#results [data-id]")].find((one) => one.dataset.id === id)?.focus({ preventScroll: true });
}

function showQuery() {
  const { id } = question;
  shared = new Set();
  panel.show(question);
  if (id) panel.ownConcepts(id, question.filters.concepts).catch(() => {});
}

function showFilters() {
  const column = document.activeElement?.dataset.column;
  $("filters").replaceChildren(...inForce(question.filters, names, changeConcept, changeColumn));
  $("columns").replaceChildren(...columnSelects(columns, question.filters, changeColumn));
  if (column) [...document.querySelectorAll("#columns [data-column]")].find((one) => one.dataset.column === column)?.focus({ preventScroll: true });
  panel.turn(question.filters.concepts, names);
}

function say(sentence) {
  $("message").textContent = sentence;
  $("message").hidden = !sentence;
}

function fails(error) {
  if (error instanceof TokenNeeded) token.ask();
  else say(error.message);
}

// ---- What there is ----------------------------------------------------------------------------------------

// What the page knows of the collection; whether it could be had.
async function refresh() {
  use(question.profile);
  try {
    const [about, { concepts }, listed, { profiles }] = await Promise.all(["collection", "concepts", "columns", "profiles"].map((one) => ask(one)));
    collection = about;
    columns = listed.columns;
    names = new Map(concepts.map((one) => [one.concept, one.name]));
    $("size").textContent = `${collection.images.toLocaleString("en")} images, ${concepts.length.toLocaleString("en")} concepts`;
    const label = (one) => (one.name === one.concept ? one.concept : `${one.name} (${one.concept})`);
    $("concepts").replaceChildren(...concepts.slice(0, 2000).map((one) => make("option", { value: label(one) })));
    showProfiles(profiles);
    showFilters();
    atlas.knows(concepts);
    return true;
  } catch (error) {
    fails(error);
    return false;
  }
}

function showProfiles(profiles) {
  $("profiles").hidden = profiles.length < 2;
  $("profile").replaceChildren(...profiles.map((one) => make("option", { value: one.name, text: one.name || one.features.join(" + ") })));
  $("profile").value = question.profile ?? profiles[0]?.name ?? "";
}

async function begin() {
  question = { ...question, profile: new URLSearchParams(location.search).get("profile") };
  if (!await refresh()) return;
  await restore(history.state);
  if (!question.id && matchMedia("(min-width: 70rem) and (min-height: 45rem)").matches) {
    atlas.toggle(true);
    atlas.byItself = true;
  }
}

// ---- Wiring -----------------------------------------------------------------------------------------------

$("file").addEventListener("change", () => { upload($("file").files[0]); $("file").value = ""; });
$("again").addEventListener("click", () => { start({ ...question, file: null, name: "", id: null }); $("file").focus(); });
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
  changeConcept(hit[0], event.submitter?.value ?? "require");
});
$("profile").addEventListener("change", () => start({ ...question, profile: $("profile").value }));
$("why").addEventListener("click", explain);
$("more").addEventListener("click", () => { wanted = Math.min(MOST, wanted * 2); run(true); });
$("results").addEventListener("keydown", (event) => moveByArrows($("results"), event));
addEventListener("popstate", (event) => restore(event.state));

addEventListener("pointerdown", () => { byKeyboard = false; }, true);
addEventListener("keydown", () => { byKeyboard = true; }, true);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea") || token.open) return;
  const id = event.target.dataset?.id;
  if (event.key === "/") { event.preventDefault(); $("id").select(); $("id").focus(); }
  else if (event.key === "m") atlas.toggle();
  else if (event.key === "e") explain();
  else if (event.key === "o" && id) open(original(id), "_blank", "noopener");
});
whenGiven(upload);
keepTheme($("theme"), () => atlas.draw());
$("filters-more").open = !matchMedia("(max-width: 52rem)").matches;
begin();
