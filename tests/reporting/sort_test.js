// A table of the page in as little of a document as sort.js needs: it prints the rows after each press.
const fs = require("node:fs");
const cell = (text, classes = []) => ({
  textContent: text,
  classList: { contains: (name) => classes.includes(name) },
  attributes: {},
  getAttribute(name) { return this.attributes[name] ?? null; },
  setAttribute(name, value) { this.attributes[name] = value; },
  removeAttribute(name) { delete this.attributes[name]; },
  replaceChildren(button) { this.button = button; },
});
const heads = [cell("Concept"), cell("Support", ["n"])];
const body = {
  rows: [["lung", "1,200"], ["Bone", "–"], ["heart", "30"], ["Aorta", "0.5"]].map((texts) => ({ cells: texts.map((text) => cell(text)) })),
  append(...rows) { this.rows = rows; },
};
globalThis.document = {
  querySelectorAll: () => [{ tBodies: [body], tHead: { rows: [{ cells: heads }] } }],
  createElement: () => ({ addEventListener(_, press) { this.press = press; } }),
};
eval(fs.readFileSync(process.argv[2], "utf8"));
for (const column of [1, 1, 0, 0]) {
  heads[column].button.press();
  const rows = body.rows.map((row) => row.cells[0].textContent);
  console.log(JSON.stringify([heads.map((head) => head.getAttribute("aria-sort")), rows]));
}
