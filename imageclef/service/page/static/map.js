// The map of the collection on a canvas: pan, zoom, colours, and a click that searches.

import { ask, thumbnail } from "./api.js";

const NEAR = 14, MOST = 60;

export class CollectionMap {
  constructor(frame, search, says) {
    this.frame = frame;
    this.canvas = frame.querySelector("canvas");
    this.peek = frame.querySelector("figure");
    this.search = search;
    this.says = says;
    this.points = null;
    this.coloured = null;
    this.found = [];
    this.query = -1;
    this.view = { scale: 1, x: 0, y: 0 };
    this.fingers = new Map();
    this.listen();
  }

  // Another collection: what is known of the one before does not hold.
  forget() {
    this.points = this.coloured = null;
    this.found = [];
    this.query = -1;
    this.generation = (this.generation ?? 0) + 1;
  }

  async load() {
    if (this.points) return this.points;
    const { generation } = this, points = await ask("map");
    if (generation !== this.generation) return this.load();
    this.place = new Map(points.ids.map((id, place) => [id, place]));
    this.points = points;
    this.mark(this.pending ?? [null, []]);
    return points;
  }

  async colour(concept) {
    const wanted = (this.wanted = concept);
    const answer = concept ? await ask(`map/${encodeURIComponent(concept)}`) : null;
    if (wanted !== this.wanted) return null;
    this.coloured = answer && new Set(answer.places);
    this.draw();
    return answer ? answer.places.length : null;
  }

  mark([query, hits]) {
    this.pending = [query, hits];
    if (!this.points) return;
    this.query = this.place.get(query) ?? -1;
    this.found = hits.map((id) => this.place.get(id)).filter((place) => place !== undefined);
    this.draw();
  }

  // From -1..1 to pixels of the page, and back.
  size() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }
  toX(x) { const w = this.size()[0]; return w / 2 + ((x - this.view.x) * this.view.scale * (w - 24)) / 2; }
  toY(y) { const h = this.size()[1]; return h / 2 - ((y - this.view.y) * this.view.scale * (h - 24)) / 2; }

  draw() {
    if (!this.points || this.frameAsked) return;
    this.frameAsked = requestAnimationFrame(() => { this.frameAsked = 0; this.paint(); });
  }

  paint() {
    const [w, h] = this.size(), ratio = devicePixelRatio || 1;
    if (!w || !h || !this.points) return;
    this.canvas.width = Math.round(w * ratio);
    this.canvas.height = Math.round(h * ratio);
    const pen = this.canvas.getContext("2d"), style = getComputedStyle(this.canvas);
    const ink = (name) => style.getPropertyValue(name);
    pen.scale(ratio, ratio);
    const { x, y } = this.points, side = Math.min(7, 2.2 + 0.6 * Math.log2(this.view.scale + 1));
    const dot = (place, size) => pen.fillRect(this.toX(x[place]) - size / 2, this.toY(y[place]) - size / 2, size, size);
    pen.fillStyle = ink("--point");
    pen.globalAlpha = this.coloured ? 0.45 : 0.75;
    for (let place = 0; place < x.length; place++) if (!this.coloured?.has(place)) dot(place, side);
    pen.globalAlpha = 0.9;
    pen.fillStyle = ink("--point-on");
    this.coloured?.forEach((place) => dot(place, side + 0.8));
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.strokeStyle = ink("--point-hit");
    for (const place of this.found) this.ring(pen, place, 5);
    if (this.query >= 0) {
      pen.strokeStyle = ink("--ink");
      pen.lineWidth = 3;
      this.ring(pen, this.query, 9);
    }
    if (document.activeElement === this.canvas && this.byKeyboard) this.cross(pen, w, h, ink("--ink"));
  }

  ring(pen, place, radius) {
    pen.beginPath();
    pen.arc(this.toX(this.points.x[place]), this.toY(this.points.y[place]), radius, 0, 7);
    pen.stroke();
  }

  cross(pen, w, h, ink) {
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.beginPath();
      pen.moveTo(w / 2 + 6 * dx, h / 2 + 6 * dy);
      pen.lineTo(w / 2 + 16 * dx, h / 2 + 16 * dy);
      pen.stroke();
    }
  }

  nearest(px, py, within = NEAR) {
    let best = -1, least = within * within;
    const { x, y } = this.points;
    for (let place = 0; place < x.length; place++) {
      const dx = this.toX(x[place]) - px, dy = this.toY(y[place]) - py, gap = dx * dx + dy * dy;
      if (gap < least) { least = gap; best = place; }
    }
    return best;
  }

  zoom(factor, px = this.size()[0] / 2, py = this.size()[1] / 2) {
    const [w, h] = this.size(), before = this.view.scale;
    const scale = Math.min(MOST, Math.max(1, before * factor));
    this.view.x += ((px - w / 2) * 2 / (w - 24)) * (1 / before - 1 / scale);
    this.view.y -= ((py - h / 2) * 2 / (h - 24)) * (1 / before - 1 / scale);
    this.view.scale = scale;
    this.keepInside();
  }

  pan(dx, dy) {
    const [w, h] = this.size();
    this.view.x -= (dx * 2) / ((w - 24) * this.view.scale);
    this.view.y += (dy * 2) / ((h - 24) * this.view.scale);
    this.keepInside();
  }

  keepInside() {
    for (const axis of ["x", "y"]) this.view[axis] = Math.min(1, Math.max(-1, this.view[axis]));
    this.draw();
  }

  whole() { this.view = { scale: 1, x: 0, y: 0 }; this.draw(); }

  show(place, px, py) {
    if (place === this.shown && place >= 0) return this.putPeek(px, py);
    this.shown = place;
    this.peek.hidden = place < 0;
    if (place < 0) return undefined;
    const id = this.points.ids[place];
    this.peek.querySelector("img").src = thumbnail(id, 128);
    this.peek.querySelector("figcaption").textContent = id;
    return this.putPeek(px, py);
  }

  putPeek(px, py) {
    const [w, h] = this.size();
    this.peek.style.left = `${px + 140 > w ? px - 136 : px + 14}px`;
    this.peek.style.top = `${Math.max(0, Math.min(py - 70, h - 150))}px`;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.byKeyboard = false;
      this.fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.moved = this.fingers.size > 1 ? NEAR : 0;
    });
    canvas.addEventListener("pointermove", (event) => this.pointed(event));
    canvas.addEventListener("pointerup", (event) => {
      this.fingers.delete(event.pointerId);
      const place = this.points && this.moved < 5 ? this.nearest(event.offsetX, event.offsetY) : -1;
      if (place >= 0) this.search(this.points.ids[place]);
    });
    canvas.addEventListener("pointercancel", (event) => this.fingers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.show(-1));
    canvas.addEventListener("keydown", (event) => this.typed(event));
    canvas.addEventListener("focus", () => { this.byKeyboard = canvas.matches(":focus-visible"); this.draw(); });
    canvas.addEventListener("blur", () => { this.show(-1); this.draw(); });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  pointed(event) {
    if (!this.points) return;
    const at = [event.offsetX, event.offsetY], from = this.fingers.get(event.pointerId);
    if (!from) { this.show(this.nearest(...at), ...at); return; }
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    const gap = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    this.moved += Math.hypot(at[0] - from[0], at[1] - from[1]);
    if (other) this.zoom(gap(at) / Math.max(1, gap(from)), ...other);
    else this.pan(at[0] - from[0], at[1] - from[1]);
    this.fingers.set(event.pointerId, at);
    this.show(-1);
  }

  typed(event) {
    const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (!this.points || event.ctrlKey || event.metaKey || event.altKey) return;
    const [w, h] = this.size(), middle = () => this.nearest(w / 2, h / 2, 1e9);
    if (moves[event.key]) this.pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.whole();
    else if (event.key === "Enter") this.search(this.points.ids[middle()]);
    else return;
    event.preventDefault();
    this.byKeyboard = true;
    const place = middle();
    this.show(place, this.toX(this.points.x[place]), this.toY(this.points.y[place]));
    this.says(`Image ${this.points.ids[place]} is in the middle`);
    this.draw();
  }
}
