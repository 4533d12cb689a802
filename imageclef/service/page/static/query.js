// What is asked, as the page shows it: the picture, its concepts, where it and an answer agree.

import { detect, facts, preview, thumbnail } from "./api.js";
import { heat } from "./explain.js";
import { chip, make } from "./elements.js";

const $ = (id) => document.getElementById(id);

// What every browser draws as we do; anything else (DICOM, TIFF, 16 bits) is drawn by the service.
const DRAWN_HERE = new Set(["image/jpeg", "image/gif", "image/webp"]);

export class QueryPanel {
  constructor(change) {
    this.change = change;
    this.file = null;
    this.asked = new WeakSet();
    // A broken image is never shown: the frame appears once there is something in it.
    $("preview").addEventListener("load", () => { $("preview-frame").hidden = false; });
    $("preview").addEventListener("error", () => this.failed());
  }

  show(question) {
    const { file, name, id } = question;
    this.draw(null);
    this.file = file;
    $("again").hidden = !file && !id;
    $("query-facts").hidden = true;
    $("id").value = id ?? "";
    $("what").replaceChildren(make("strong", { text: file ? name : id ?? "Search from an image" }));
    document.title = file || id ? `${file ? name : id} – similar images` : "Similar images";
    this.explain(null);
    if (file) {
      $("preview").alt = `The query, ${name}`;
      if (DRAWN_HERE.has(file.type)) this.draw(URL.createObjectURL(file));
      else this.drawByService(file);
    } else if (id) {
      $("preview").alt = `The query, image ${id}`;
      this.draw(thumbnail(id, 512));
    }
  }

  draw(address) {
    const before = $("preview").src;
    $("preview-frame").hidden = true;
    if (address) $("preview").src = address;
    else $("preview").removeAttribute("src");
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  }

  async drawByService(file) {
    const drawn = await preview(file).catch(() => null);
    if (this.file === file) this.draw(drawn && URL.createObjectURL(drawn));
  }

  // A file that its type or its name says the browser can draw, and that it cannot.
  failed() {
    $("preview-frame").hidden = true;
    const file = this.file;
    if (file && DRAWN_HERE.has(file.type) && !this.asked.has(file)) {
      this.asked.add(file);
      this.drawByService(file);
    }
  }

  // Where the query agrees with an answer; with none, the picture alone.
  explain(hit) {
    $("preview-frame").querySelector(".heat")?.remove();
    $("preview-why").hidden = !hit?.regions;
    if (!hit?.regions) return;
    $("preview-frame").append(heat($("preview"), hit.regions.query, `it is like ${hit.id}`));
    $("preview-why").textContent = `Warm: where it is like ${hit.id}, number ${hit.rank}`;
  }

  async ownConcepts(id, filters) {
    const known = await facts(id);
    this.list("Its concepts", known.concepts.map((one) => [one, null]), filters,
      known.concepts.length ? "" : "The concept list has none for it.");
  }

  // Detected ones, and the next few; returns those detected.
  async detected(file, filters, signal) {
    try {
      const found = await detect(file, signal);
      const yes = found.concepts.filter((one) => one.detected);
      const shown = [...yes, ...found.concepts.filter((one) => !one.detected).slice(0, 3)];
      const how = found.copied ? "Copied from an almost equal image." : "Probabilities by the linear classifier; faint ones are not detected.";
      this.list("Detected concepts", shown.map((one) => [one, one]), filters, how);
      return yes.map((one) => one.concept);
    } catch (error) {
      if (error.name !== "AbortError") $("query-facts").hidden = true;
      return null;
    }
  }

  list(title, rows, filters, note) {
    $("query-facts").hidden = false;
    $("facts-title").textContent = title;
    $("facts-note").textContent = note;
    $("facts").classList.toggle("chips", !rows.some(([, score]) => score));
    $("facts").replaceChildren(...rows.map(([concept, score]) => make("div", { class: score && !score.detected ? "fact unsure" : "fact" },
      chip(concept, filters, this.change),
      make("b", { text: score ? score.score.toFixed(2) : "", title: score?.threshold ? `threshold ${score.threshold.toFixed(2)}` : "" }))));
  }

  // The same chips under other filters.
  turn(filters, names) {
    for (const one of document.querySelectorAll("#facts .chip")) {
      const concept = one.dataset.concept;
      one.replaceWith(chip({ concept, name: names.get(concept) ?? concept }, filters, this.change));
    }
  }
}
