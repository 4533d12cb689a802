// Cards and chips. Text only ever enters the page as text.

import { original, thumbnail } from "./api.js";

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const next = { undefined: "require", require: "forbid", forbid: undefined };
const does = { undefined: "click to require", require: "required, click to forbid", forbid: "forbidden, click to let go" };

export function chip(concept, filters, change, shared = false) {
  const want = filters.get(concept.concept);
  return make("button", {
    type: "button",
    class: ["chip", want, shared && !want && "shared"].filter(Boolean).join(" "),
    title: `${concept.concept}${shared ? ", shared with the query" : ""}: ${does[want]}`,
    "data-concept": concept.concept,
    text: concept.name,
    onclick: () => change(concept.concept, next[want]),
  }, want || shared ? make("span", { class: "unseen", text: want ? ` (${want}d)`.replace("forbidd)", "forbidden)") : " (shared with the query)" }) : "");
}

export function card(hit, filters, change, search, sharedWith) {
  const names = hit.concepts.map((one) => one.name).join(", ") || "no concepts";
  const near = hit.similarity ?? null;
  const likeness = hit.distance === undefined ? "" : near === null ? `distance ${hit.distance.toFixed(3)}` : near.toFixed(3);
  const picture = make("img", { src: thumbnail(hit.id, 256), alt: `Image ${hit.id}: ${names}`, loading: "lazy", draggable: "false" });
  picture.addEventListener("error", () => picture.classList.add("missing"));
  const button = make("button", { type: "button", "data-id": hit.id, title: "Search from this image", onclick: () => search(hit.id) }, picture);
  if (hit.rank) button.append(make("span", { class: "rank", text: hit.rank, "aria-hidden": "true" }));
  const said = near === null ? likeness : `similarity ${likeness}`;
  button.append(make("span", { class: "unseen", text: `${likeness ? `, ${said}` : ""}. Search from this image.` }));
  const line = make("div", { class: "line" },
    make("a", { href: original(hit.id), target: "_blank", rel: "noopener", text: hit.id, title: "Open the whole picture" }),
    make("span", { text: likeness, title: near === null ? "Euclidean distance" : "cosine similarity" }));
  const chips = make("ul", { class: "chips", "aria-label": "Concepts" }, ...hit.concepts.map((one) =>
    make("li", {}, chip(one, filters, change, sharedWith.has(one.concept)))));
  const element = make("li", { class: "card" }, button);
  if (near !== null) {
    const bar = make("div", { class: "likeness" });
    bar.style.setProperty("--share", Math.max(0, near).toFixed(3));
    element.append(bar);
  }
  element.append(make("div", { class: "about" }, line, chips));
  return element;
}

// Arrow keys move among the pictures as the eye would.
export function moveByArrows(list, event) {
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
  const here = event.target.closest?.("#results .card > button");
  if (!here || !step || event.altKey || event.ctrlKey || event.metaKey) return;
  const all = [...list.querySelectorAll(".card > button")];
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const there = all[all.indexOf(here) + step[0] + step[1] * columns];
  event.preventDefault();
  if (there) there.focus();
}
