// Requests to the service; every refusal becomes an Error with its sentence.

export class TokenNeeded extends Error {}

export async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  const sentence = answer?.detail ?? `The service answered with status ${response.status}.`;
  if (response.status === 401) throw new TokenNeeded(sentence);
  throw new Error(sentence[0].toUpperCase() + sentence.slice(1) + (sentence.endsWith(".") ? "" : "."));
}

export const thumbnail = (id, size) => `images/${encodeURIComponent(id)}?size=${size}`;
export const original = (id) => `images/${encodeURIComponent(id)}`;
export const facts = (id) => ask(`images/${encodeURIComponent(id)}/facts`);

export function similar(question, k, signal) {
  const form = new FormData();
  if (question.file) form.append("image", question.file, "upload");
  else form.append("id", question.id);
  form.append("k", k);
  for (const [concept, want] of question.filters) form.append(want === "require" ? "with" : "without", concept);
  return ask("similar", { method: "POST", body: form, signal });
}

export function detect(file, signal) {
  const form = new FormData();
  form.append("image", file, "upload");
  return ask("concepts", { method: "POST", body: form, signal });
}

export const enter = (token) =>
  ask("session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
