// What answers are narrowed by: concepts that they have or lack, and values in columns of the metadata.

import { chip, make } from "./elements.js";

export const noFilters = () => ({ concepts: new Map(), columns: new Map() });
export const anyFilters = (filters) => filters.concepts.size + filters.columns.size > 0;

// The same names in a form and in the page's address.
export function appendFilters(to, filters) {
  for (const [concept, want] of filters.concepts) to.append(want === "require" ? "with" : "without", concept);
  for (const [column, value] of filters.columns) to.append("where", `${column}=${value}`);
}

export function filtersOf(address) {
  const filters = noFilters();
  for (const one of address.getAll("with")) filters.concepts.set(one, "require");
  for (const one of address.getAll("without")) filters.concepts.set(one, "forbid");
  for (const one of address.getAll("where")) {
    const at = one.indexOf("=");
    if (at > 0) filters.columns.set(one.slice(0, at), one.slice(at + 1));
  }
  return filters;
}

export function withConcept(filters, concept, want) {
  const concepts = new Map(filters.concepts);
  if (want) concepts.set(concept, want);
  else concepts.delete(concept);
  return { ...filters, concepts };
}

export function withColumn(filters, column, value) {
  const columns = new Map(filters.columns);
  if (value) columns.set(column, value);
  else columns.delete(column);
  return { ...filters, columns };
}

// The chips above the results: each lets its filter go, or turns it.
export function inForce(filters, names, changeConcept, changeColumn) {
  const concepts = [...filters.concepts.keys()].map((concept) =>
    make("li", {}, chip({ concept, name: names.get(concept) ?? concept }, filters.concepts, changeConcept)));
  const columns = [...filters.columns].map(([column, value]) =>
    make("li", {}, make("button", {
      type: "button", class: "chip require", "data-column": column, text: `${spoken(column)}: ${value}`,
      title: "required, click to remove the filter", onclick: () => changeColumn(column, ""),
    }, make("span", { class: "unseen", text: " (required)" }))));
  return [...concepts, ...columns];
}

// A select for each column that the service offers.
export function columnSelects(columns, filters, changeColumn) {
  return columns.map(({ column, values }, place) => {
    const id = `column-${place}`, chosen = filters.columns.get(column) ?? "";
    const select = make("select", { id, "data-column": column, onchange: () => changeColumn(column, select.value) },
      make("option", { value: "", text: "any" }),
      ...values.map((one) => make("option", { value: one.value, text: `${one.value}, ${one.images.toLocaleString("en")}` })));
    select.value = chosen;
    select.classList.toggle("require", chosen !== "");
    return make("div", { class: "column" }, make("label", { for: id, text: spoken(column) }), select);
  });
}

const spoken = (column) => column.replaceAll("_", " ");
