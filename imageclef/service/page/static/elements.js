// Elements and chips. Text only ever enters the page as text.

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
const does = { undefined: "click to require", require: "required, click to forbid", forbid: "forbidden, click to remove the filter" };

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
