// The panel of the map: opened and closed, its tools, its legend.

import { CollectionMap } from "./map.js";
import { make } from "./elements.js";

const $ = (id) => document.getElementById(id);

export class Atlas {
  constructor(search, fails) {
    this.byItself = false;
    this.fails = fails;
    this.names = new Map();
    this.map = new CollectionMap($("map-frame"), (id) => { this.byItself = false; search(id); },
      (text) => { $("map-says").textContent = text; });
    $("map-toggle").addEventListener("click", () => this.toggle());
    $("colour").addEventListener("change", () => this.colour());
    $("closer").addEventListener("click", () => this.map.zoom(1.6));
    $("farther").addEventListener("click", () => this.map.zoom(1 / 1.6));
    $("whole").addEventListener("click", () => this.map.whole());
  }

  get focused() { return this.map.canvas.matches(":focus"); }
  get isOpen() { return !$("map-panel").hidden; }
  mark(query, hits) { this.map.mark([query, hits]); }
  draw() { this.map.draw(); }

  // Another collection, or another state of it.
  knows(concepts) {
    const before = $("colour").value;
    this.names = new Map(concepts.map((one) => [one.concept, one.name]));
    $("colour").replaceChildren(make("option", { value: "", text: "nothing" }), ...concepts.slice(0, 500).map((one) =>
      make("option", { value: one.concept, text: `${one.name}, ${one.images.toLocaleString("en")}` })));
    if (this.names.has(before)) $("colour").value = before;
    this.map.forget();
    if (this.isOpen) this.show().then(() => this.colour());
  }

  // A map that nobody asked for makes room for the answers.
  giveWay() { if (this.byItself) this.toggle(false); }

  toggle(open = !this.isOpen) {
    this.byItself = false;
    $("map-panel").hidden = !open;
    $("map-tools").hidden = !open;
    $("map-toggle").setAttribute("aria-expanded", open);
    return open ? this.show() : undefined;
  }

  async show() {
    try {
      const points = await this.map.load();
      const shares = points.explained.map((share) => `${(100 * share).toFixed(0)} %`).join(" and ");
      const shown = points.ids.length < points.total ? `${points.ids.length.toLocaleString("en")} of ${points.total.toLocaleString("en")} images; p` : "P";
      this.about = `${shown}rincipal components of the features, with ${shares} of their variance.`;
      this.legend(null);
      this.map.draw();
    } catch (error) {
      this.fails(error);
    }
  }

  async colour() {
    try {
      this.legend(await this.map.colour($("colour").value));
    } catch (error) {
      this.fails(error);
    }
  }

  legend(count) {
    const rings = "Rings: the query and what was found.";
    const coloured = count === null ? "" : `${count.toLocaleString("en")} with ${this.names.get($("colour").value)} in colour. `;
    $("map-legend").textContent = coloured + rings + " " + this.about;
  }
}
