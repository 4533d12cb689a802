// Cards of images, and the way among them by keyboard.

import { original, thumbnail } from "./api.js";
import { chip, make } from "./elements.js";
import { heat } from "./explain.js";

export function card(hit, concepts, change, search, sharedWith) {
  const names = hit.concepts.map((one) => one.name).join(", ") || "no concepts";
  const near = hit.similarity ?? null;
  const likeness = hit.distance === undefined ? "" : near === null ? `distance ${hit.distance.toFixed(3)}` : near.toFixed(3);
  const picture = make("img", { src: thumbnail(hit.id, 256), alt: `Image ${hit.id}: ${names}`, loading: "lazy", draggable: "false" });
  picture.addEventListener("error", () => picture.replaceWith(make("span", { class: "missing", text: "The image file is not available." })));
  const button = make("button", { type: "button", "data-id": hit.id, title: "Search from this image", onclick: () => search(hit.id) }, picture);
  if (hit.regions) button.append(heat(picture, hit.regions.image, "it is like the query"));
  if (hit.rank) button.append(make("span", { class: "rank", text: hit.rank, "aria-hidden": "true" }));
  const said = near === null ? likeness : `similarity ${likeness}`;
  button.append(make("span", { class: "unseen", text: `${likeness ? `, ${said}` : ""}. Search from this image.` }));
  const line = make("div", { class: "line" },
    make("a", { href: original(hit.id), target: "_blank", rel: "noopener", text: hit.id, title: "Open the whole picture" }),
    make("span", { text: likeness, title: near === null ? "Euclidean distance" : "cosine similarity" }));
  const chips = make("ul", { class: "chips", "aria-label": "Concepts" }, ...hit.concepts.map((one) =>
    make("li", {}, chip(one, concepts, change, sharedWith.has(one.concept)))));
  const element = make("li", { class: "card" }, button);
  if (near !== null) {
    const bar = make("div", { class: "likeness" });
    bar.style.setProperty("--share", Math.max(0, near).toFixed(3));
    element.append(bar);
  }
  element.append(make("div", { class: "about" }, line, chips));
  return element;
}

// What an answer has in common with the query, in words.
export function inCommon(hit, known) {
  const n = hit.shared.length;
  return make("p", { class: "quiet", text: n ? `Shares ${n} of ${known} concept${known === 1 ? "" : "s"}` : "Shares no concept" });
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
