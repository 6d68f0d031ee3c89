import { blob, get, ofPerson, patch, post, remove, send } from "/page/api.js";
import { action, confirmed, el, facts, field, say, table, time } from "/page/dom.js";

const EACH = 60;

export function peopleSection(section, state) {
  const view = el("div");
  section.append(view);
  const list = new List(view);
  return {
    async open(person) {
      if (person === undefined) await list.show();
      else await showPerson(view, person, state);
    },
  };
}

const goTo = (person) => { location.hash = person === null ? "#people" : `#people/${encodeURIComponent(person)}`; };

class List {
  constructor(view) {
    this.view = view;
    this.starts = [0];
    this.key = el("input", {});
    this.value = el("input", {});
    this.id = el("input", {});
    this.problem = el("p", { class: "problem", role: "alert" });
  }

  async show() {
    const where = this.key.value ? `&where=${encodeURIComponent(JSON.stringify({ [this.key.value]: this.value.value }))}` : "";
    const after = this.starts[this.starts.length - 1];
    const page = await get(`/v1/people?limit=${EACH}&after=${after}${where}`);
    const cards = page.people.map((one) => el("li", {}, el("button", { type: "button", onclick: () => goTo(one.person) },
      one.person, el("span", { class: "count" }, `${one.images} image${one.images === 1 ? "" : "s"}`))));
    const move = (label, possible, change) => el("button", { type: "button", disabled: !possible,
      onclick: async () => { change(); await this.show(); } }, label);
    this.view.replaceChildren(this.filters(), this.problem,
      cards.length ? el("ul", { class: "grid" }, ...cards) : el("p", {}, "No people."),
      el("div", { class: "buttons" },
        move("Previous page", this.starts.length > 1, () => this.starts.pop()),
        el("span", {}, `Page ${this.starts.length}`),
        move("Next page", page.next !== null, () => this.starts.push(page.next))),
      addPerson());
  }

  filters() {
    const guarded = (work) => async (event) => {
      event.preventDefault();
      this.problem.textContent = "";
      try { await work(); } catch (error) { this.problem.textContent = error.message; }
    };
    return el("div", {},
      el("form", { class: "fields", onsubmit: guarded(async () => { if (this.id.value) goTo(this.id.value); }) },
        field("Person's id", this.id), el("button", { type: "submit" }, "Open")),
      el("form", { class: "fields", onsubmit: guarded(async () => { this.starts = [0]; await this.show(); }) },
        field("Metadata: key", this.key), field("Value", this.value), el("button", { type: "submit" }, "Filter")));
  }
}

function addPerson() {
  const id = el("input", { required: true });
  const files = el("input", { type: "file", multiple: true, accept: "image/jpeg,image/png,image/webp,image/avif" });
  const run = async () => {
    if (!id.value) throw new Error("Give an id.");
    if (files.files.length) report(await send(ofPerson(id.value, "/images"), [...files.files]));
    else await post("/v1/people", { person: id.value });
    goTo(id.value);
  };
  return el("details", {}, el("summary", {}, "Add a person"),
    el("p", { class: "hint" }, "Images become embeddings. Photos are not kept; crops are, if the gallery keeps them."),
    el("div", { class: "fields" }, field("Id", id), field("Images", files), action("Add", run, { class: "main" })));
}

function report(done) {
  const parts = [`${done.images} of ${done.given} images added`];
  if (done.duplicates.length) parts.push(`${done.duplicates.length} already enrolled`);
  if (done.failed.length) parts.push(`failed: ${done.failed.map(([, reason]) => reason).join("; ")}`);
  if (done.conflicts.length) parts.push(`${done.conflicts.length} match another person: check the ids`);
  say(`${parts.join(", ")}.`);
}

async function showPerson(view, person, state) {
  const again = () => showPerson(view, person, state);
  const [said, held] = await Promise.all([get(ofPerson(person)), get(ofPerson(person, "/images"))]);
  const chosen = new Map();
  const rows = held.images.map((one) => {
    const box = el("input", { type: "checkbox", "aria-label": `Choose image ${one.image}` });
    chosen.set(one.image, box);
    return [box, String(one.image), time(one.enrolled), one.quality === null ? "" : one.quality.toFixed(2),
      one.camera ?? "", time(one.taken), one.source ?? "", one.hash ? `${one.hash.slice(0, 12)}…` : ""];
  });
  const shown = held.images.filter((one) => one.crop).map((one) => cropOf(person, one.image));
  const picked = () => [...chosen].filter(([, box]) => box.checked).map(([image]) => image);
  view.replaceChildren(
    el("p", {}, el("a", { href: "#people" }, "All people")), el("h2", {}, person),
    facts([["Images", String(said.images)], ...Object.entries(said.metadata).map(([key, value]) => [key, text(value)])]),
    ...(shown.length ? [el("div", { class: "crops" }, ...shown)] : []),
    table("Images: records, not photos", ["", "number#", "enrolled", "weight#", "camera", "taken", "source", "SHA-256"], rows),
    removeImages(person, picked, again), addImages(person, again), metadata(person, said.metadata, again),
    rename(person), merge(person), split(person, picked), exported(person), erase(person));
}

/** A kept crop: an img cannot send a token, so it is fetched, when it comes into view. */
function cropOf(person, image) {
  const name = `Crop of image ${image}`;
  const picture = el("img", { class: "crop", alt: name, width: 112, height: 112 });
  const label = el("figcaption", {}, `Image ${image}`);
  const seen = new IntersectionObserver(async ([one]) => {
    if (!one.isIntersecting) return;
    seen.disconnect();
    try {
      const address = URL.createObjectURL(await blob(ofPerson(person, `/images/${image}/crop`)));
      picture.addEventListener("load", () => URL.revokeObjectURL(address));
      picture.src = address;
    } catch (error) {
      label.textContent = error.message;
    }
  });
  seen.observe(picture);
  return el("figure", {}, picture, label);
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const part = (title, meaning, ...children) =>
  el("details", {}, el("summary", {}, title), el("p", { class: "hint" }, meaning), el("div", { class: "fields" }, ...children));

function removeImages(person, picked, again) {
  return part("Remove images", "The chosen images are in no answer any more. The person stays, even without images.",
    action("Remove the chosen images", async () => {
      const images = picked();
      if (!images.length) throw new Error("Choose images in the table.");
      if (!(await confirmed(`Remove ${images.length} image(s) of ${person}?`, "This cannot be undone.", "Remove"))) return;
      for (const image of images) await remove(ofPerson(person, `/images/${image}`));
      say(`${images.length} image(s) removed.`);
      await again();
    }, { class: "danger" }));
}

function addImages(person, again) {
  const camera = el("input", {}), taken = el("input", { type: "datetime-local" });
  const files = el("input", { type: "file", multiple: true, accept: "image/jpeg,image/png,image/webp,image/avif" });
  return part("Add images", "An image that matches another person is added and reported.", field("Images", files),
    field("Camera", camera), field("Taken", taken), action("Add", async () => {
      if (!files.files.length) throw new Error("Choose images.");
      const time = taken.value ? new Date(taken.value).toISOString() : "";
      report(await send(ofPerson(person, "/images"), [...files.files], { camera: camera.value, taken: time }));
      await again();
    }));
}

function metadata(person, values, again) {
  const key = el("input", {}), value = el("input", {});
  const gone = el("select", {}, ...Object.keys(values).map((name) => el("option", { value: name }, name)));
  const change = async (body) => { await patch(ofPerson(person), body); say("Metadata changed."); await again(); };
  return part("Metadata", "Searches can be filtered by it.", field("Key", key), field("Value", value),
    action("Set", async () => {
      if (!key.value) throw new Error("Give a key.");
      await change({ metadata: { [key.value]: value.value } });
    }), ...(gone.options.length ? [field("Remove the key", gone), action("Remove", () => change({ remove: [gone.value] }))] : []));
}

function rename(person) {
  const id = el("input", {});
  return part("Rename", "The id changes; images and metadata stay.", field("New id", id), action("Rename", async () => {
    if (!id.value) throw new Error("Give an id.");
    await patch(ofPerson(person), { person: id.value });
    goTo(id.value);
  }));
}

function merge(person) {
  const into = el("input", {});
  return part("Merge", "Two ids are one person: all images move to the other id, and this id is free.",
    field("Into the id", into), action("Merge", async () => {
      if (!into.value) throw new Error("Give an id.");
      if (!(await confirmed(`Merge ${person} into ${into.value}?`, "To undo it, split the images again.", "Merge"))) return;
      await post(ofPerson(person, "/merge"), { into: into.value });
      goTo(into.value);
    }));
}

function split(person, picked) {
  const id = el("input", {});
  return part("Split", "One id was two people: the chosen images move to a new id.", field("New id", id),
    action("Split the chosen images", async () => {
      const images = picked();
      if (!images.length || !id.value) throw new Error("Choose images in the table and give a new id.");
      await post(ofPerson(person, "/split"), { images, person: id.value });
      goTo(id.value);
    }));
}

function exported(person) {
  return part("Export", "All that is kept of this person, as a zip file (right of access).", action("Export", async () => {
    const address = URL.createObjectURL(await blob(ofPerson(person, "/export")));
    el("a", { href: address, download: "person.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }));
}

function erase(person) {
  return part("Remove the person", "The person is in no answer any more. Bytes of removed data stay in the gallery's " +
    "files until they are purged (Gallery, Purge).", action("Remove the person", async () => {
    const told = "All images and metadata of this person are removed. This cannot be undone.";
    if (!(await confirmed(`Remove ${person}?`, told, "Remove"))) return;
    await remove(ofPerson(person));
    say("The person was removed.");
    goTo(null);
  }, { class: "danger" }));
}
