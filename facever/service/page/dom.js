// Elements are made from text only: nothing that comes from a gallery is read as HTML.

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

let quiet = 0;

export function say(text) {
  const status = document.getElementById("status");
  status.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => (status.textContent = ""), 6000);
}

let fields = 0;

export function field(label, input) {
  input.id = `field-${++fields}`;
  return el("div", {}, el("label", { for: input.id }, label), input);
}

export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** A time of the service, ISO 8601 in UTC, to be read: without "T" and parts of a second. */
export function time(iso) {
  return iso ? el("time", { datetime: iso }, iso.replace("T", " ").replace(/\.\d+/, "").replace("+00:00", " UTC")) : "";
}

/** A table; a header that ends with "#" is of numbers. Columns without any content are omitted. */
export function table(caption, headers, rows) {
  const used = headers.map((header, k) => !header || !rows.length || rows.some((row) => row[k] !== ""));
  headers = headers.filter((_, k) => used[k]);
  rows = rows.map((row) => row.filter((_, k) => used[k]));
  const numeric = headers.map((header) => header.endsWith("#"));
  const head = headers.map((header, k) =>
    el("th", { scope: "col", class: numeric[k] ? "number" : null }, header.replace(/#$/, "")));
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((cell, k) => el("td", { class: numeric[k] ? "number" : null }, cell))));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, el("table", {},
    el("caption", { class: "hint" }, caption), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)));
}

/** Ask before something that cannot be undone; resolves to whether it was confirmed. */
export function confirmed(question, consequence, verb) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-labelledby": "confirm-title" },
      el("h2", { id: "confirm-title" }, question), el("p", {}, consequence));
    const close = (answer) => () => { dialog.close(); dialog.remove(); resolve(answer); };
    dialog.append(el("div", { class: "buttons" },
      el("button", { type: "button", onclick: close(false) }, "Cancel"),
      el("button", { type: "button", class: "danger", onclick: close(true) }, verb)));
    dialog.addEventListener("cancel", close(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Run an action of a button: it is disabled meanwhile, and an error is shown in place. */
export function action(label, work, properties = {}) {
  const problem = el("p", { class: "problem", role: "alert" });
  const button = el("button", { type: "button", ...properties, onclick: async () => {
    button.disabled = true;
    problem.textContent = "";
    try {
      await work();
    } catch (error) {
      problem.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  } }, label);
  return el("div", {}, button, problem);
}
