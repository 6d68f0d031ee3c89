// Requests to the service that this page came from.

const KEY = "facever-token";

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useToken(token) {
  sessionStorage.setItem(KEY, token);
}

async function request(method, path, body, type) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (type) headers["Content-Type"] = type;
  let reply;
  try {
    reply = await fetch(path, { method, headers, body, cache: "no-store" });
  } catch {
    throw new Problem(0, "The service cannot be reached.");
  }
  if (reply.ok) return reply;
  let detail = `The service answered with status ${reply.status}.`;
  try {
    detail = (await reply.json()).detail || detail;
  } catch { /* not a problem document */ }
  if (reply.status === 503) detail += " Try again in a few seconds.";
  if (reply.status === 401) document.dispatchEvent(new CustomEvent("token-needed", { detail }));
  throw new Problem(reply.status, detail);
}

const json = async (...given) => (await request(...given)).json();

export const get = (path) => json("GET", path);
export const remove = (path) => json("DELETE", path);
export const post = (path, value) => json("POST", path, JSON.stringify(value), "application/json");
export const patch = (path, value) => json("PATCH", path, JSON.stringify(value), "application/json");
export const blob = async (path) => (await request("GET", path)).blob();

/** Send images (Blobs) and fields as a form. */
export function send(path, images, fields = {}) {
  const form = new FormData();
  images.forEach((image, k) => form.append("images", image, `image-${k}`));
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "") form.append(name, String(value));
  }
  return json("POST", path, form);
}

export const ofPerson = (person, more = "") => `/v1/people/${encodeURIComponent(person)}${more}`;
