import { get, post } from "/page/api.js";
import { action, confirmed, el, facts, say, table, time } from "/page/dom.js";
import { interval, rate } from "/page/scale.js";

const KINDS = {
  "1:1-image": "two images (1:1-image)", "1:1-template": "an image and a person (1:1-template)", "1:N": "a search (1:N)",
};
const many = (count) => count.toLocaleString("en");

export function gallerySection(section, state) {
  const view = el("div");
  section.append(view);
  const open = async () => {
    await state.load();
    const { gallery, photos, version } = state.info;
    view.replaceChildren(
      facts([
        ["People", many(gallery.people)], ["Images", many(gallery.images)],
        ["Images are", photos ? "photos, in which faces are detected" : "crops, taken as they are"],
        ["Crops", gallery.keep_crops ? `kept, of ${many(gallery.crops)} images` : "not kept"],
        ["Templates", gallery.templates], ["Index", gallery.index], ["Storage", gallery.storage],
        ["Model", `fingerprint ${gallery.fingerprint}, dimension ${gallery.dimension}`],
        ["Created", time(gallery.created)], ["Last change", `number ${many(gallery.change)}`], ["Service", `facever ${version}`],
      ]),
      el("h2", {}, "Thresholds"), ...thresholds(gallery.operating_points),
      ...gallery.unusable.map((why) => el("p", { class: "problem" }, why)),
      el("h2", {}, "Log of uses"), uses(),
      el("h2", {}, "Purge"),
      el("p", {}, "Removed people are in no answer. Their bytes stay in the gallery's files until the files are rewritten. " +
        "Copies and backups are not changed. The gallery cannot be written meanwhile."),
      action("Purge", async () => {
        if (!(await confirmed("Rewrite the gallery's files?", "It takes longer for large galleries.", "Purge"))) return;
        await post("/v1/purge", {});
        say("The gallery's files were rewritten.");
      }, { class: "danger" }));
  };
  return { open };
}

function uses() {
  const shown = el("div", { "aria-live": "polite" });
  return el("div", {}, action("Show the newest 100", async () => {
    const { uses: rows, kept } = await get("/v1/uses?last=100");
    shown.replaceChildren(!kept ? el("p", {}, "This service keeps no log of uses.")
      : !rows.length ? el("p", {}, "No uses yet.")
      : table("Newest first; images are named by a keyed hash", ["when", "who asked", "kind", "answer", "person", "score#", "image"],
        rows.map((one) => [time(one.ended), one.caller, one.kind, one.outcome, one.person ?? "",
          one.score === null ? "" : one.score.toFixed(4), one.image ? `${one.image.slice(0, 12)}…` : ""])));
  }), shown);
}

function thresholds(points) {
  const cards = Object.entries(points).map(([name, point]) => el("div", { class: "panel" }, el("h3", {}, name), facts([
    ["Decides", KINDS[point.kind] ?? point.kind], ["Score above", point.threshold.toFixed(4)],
    ["False matches", `${rate(point.achieved_rate)} (${interval(point.interval)}); at most ${rate(point.target_rate)} wanted`],
    ["Misses", point.miss_rate === undefined ? "not recorded" : `${rate(point.miss_rate)} (${interval(point.miss_interval)})`],
    ["Trials", `${many(point.trials.impostor)} impostor, ${many(point.trials.genuine)} genuine`],
    ["Data", point.dataset || "unnamed"], ["Gallery size", point.gallery_size ? many(point.gallery_size) : null],
  ])));
  if (!cards.length) return [el("p", {}, "None: answers are scores without decisions. Measure one with facever evaluate.")];
  return [el("div", { class: "pair" }, ...cards), el("p", { class: "hint" },
    "False matches: the false match rate (1:1) or false positive identification rate (1:N). Misses: the false " +
    "non-match rate (1:1) or false negative identification rate (1:N) on the same data.")];
}
