import { send } from "/page/api.js";
import { action, el, field, table } from "/page/dom.js";
import { crop } from "/page/faces.js";
import { quality } from "/page/compare.js";
import { PhotoPlace } from "/page/photo.js";
import { pointChooser } from "/page/points.js";
import { provenance, scale } from "/page/scale.js";

export function searchSection(section, state) {
  const answer = el("div", { "aria-live": "polite" });
  const place = new PhotoPlace("Photo", () => answer.replaceChildren());
  const points = pointChooser(["1:N"]);
  const count = el("input", { type: "number", min: "1", max: "100", value: "5" });
  const every = el("input", { type: "checkbox", checked: true });
  const camera = el("input", {});
  const [from, to] = [el("input", { type: "datetime-local" }), el("input", { type: "datetime-local" })];
  const faces = el("label", { class: "inline" }, every, "every face of the photo");
  const run = async () => {
    answer.replaceChildren();
    if (!place.file) throw new Error("Give a photo.");
    const all = state.info.photos && every.checked;
    const found = await send("/v1/search", [place.file],
      { k: count.value, operating_point: points.value, face: all ? "all" : "", where_images: imagesOf(camera, from, to) });
    place.show(found.answers.map((one) => one.face), found.answers.map((_, k) => String(k + 1)));
    answer.append(...found.answers.map((one, k) => faceRow(one, k, found, place.picture)));
    if (found.note) answer.append(el("p", {}, found.note));
    answer.append(provenance(found.operating_point),
      el("p", { class: "hint" }, `${found.searched.toLocaleString("en")} people were searched.`));
    answer.firstElementChild.scrollIntoView({ block: "nearest" });
  };
  section.append(place.element, el("div", { class: "fields" }, points.element, field("Candidates", count),
    el("div", {}, faces), action("Search", run, { class: "main" })),
    el("details", {}, el("summary", {}, "Compare with some of the enrolled images only"),
      el("p", { class: "hint" }, "Images get a camera and a time when they are enrolled. Times are those of this computer's zone."),
      el("div", { class: "fields" }, field("Camera", camera), field("Taken from", from), field("Taken to", to))), answer);
  return { open: async () => { faces.hidden = !state.info.photos; await points.load(); } };
}

/** The filter of the enrolled images as JSON; empty without one. */
function imagesOf(camera, from, to) {
  const wanted = {}, time = (input) => (input.value ? new Date(input.value).toISOString() : null);
  if (camera.value) wanted.camera = camera.value;
  if (from.value || to.value) wanted.taken = { from: time(from), to: time(to) };
  return Object.keys(wanted).length ? JSON.stringify(wanted) : "";
}

function faceRow(one, k, found, picture) {
  const verdicts = {
    known: ["good", `This is ${one.person}`], unknown: ["bad", "Unknown: nobody in the gallery"],
    null: ["none", one.error ? "Not searched" : "No decision"],
  };
  const [kind, words] = verdicts[one.decision];
  const likely = found.calibration !== null;
  const rows = one.candidates.map((candidate, place) => [String(place + 1),
    el("a", { href: `#people/${encodeURIComponent(candidate.person)}` }, candidate.person), candidate.score.toFixed(4),
    ...(likely ? [candidate.probability === null ? "" : candidate.probability.toFixed(3)] : [])]);
  const details = el("div", {}, el("p", { class: `verdict ${kind}` }, words));
  if (one.error) details.append(el("p", {}, one.error));
  if (one.candidates.length) details.append(scale(one.candidates[0].score, found.operating_point),
    table(`Candidates for face ${k + 1}, best first`, ["rank#", "person", "score#", ...(likely ? ["probability#"] : [])], rows));
  return el("div", { class: "face" }, el("figure", {}, crop(picture, one.face, `Face ${k + 1}`),
    el("figcaption", {}, `${k + 1}: ${quality(one.face)}`)), details);
}
