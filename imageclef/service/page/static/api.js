// Requests to the service; every refusal becomes an Error with its sentence.

import { appendFilters } from "./filters.js";

export class TokenNeeded extends Error {}

let profile = null;

// The feature sets that everything is asked of from now on; null for those that the service began with.
export function use(name) { profile = name; }

function at(address) {
  if (profile === null) return address;
  return `${address}${address.includes("?") ? "&" : "?"}profile=${encodeURIComponent(profile)}`;
}

async function answerOf(address, options = {}) {
  let response;
  try {
    response = await fetch(at(address), { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const sentence = answer?.detail ?? `The service answered with status ${response.status}.`;
  if (response.status === 401) throw new TokenNeeded(sentence);
  throw new Error(sentence[0].toUpperCase() + sentence.slice(1) + (sentence.endsWith(".") ? "" : "."));
}

export async function ask(address, options = {}) {
  const response = await answerOf(address, options);
  return response.status === 204 ? null : response.json();
}

export const thumbnail = (id, size) => at(`images/${encodeURIComponent(id)}?size=${size}`);
export const original = (id) => at(`images/${encodeURIComponent(id)}`);
export const facts = (id) => ask(`images/${encodeURIComponent(id)}/facts`);

export function similar(question, k, signal) {
  const form = new FormData();
  if (question.file) form.append("image", question.file, "upload");
  else form.append("id", question.id);
  form.append("k", k);
  if (question.why) form.append("why", "true");
  appendFilters(form, question.filters);
  return ask("similar", { method: "POST", body: form, signal });
}

export function detect(file, signal) {
  const form = new FormData();
  form.append("image", file, "upload");
  return ask("concepts", { method: "POST", body: form, signal });
}

// A JPEG of a file that the browser may not be able to draw.
export async function preview(file) {
  const form = new FormData();
  form.append("image", file, "upload");
  return (await answerOf("preview", { method: "POST", body: form })).blob();
}

export const enter = (token) =>
  ask("session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
