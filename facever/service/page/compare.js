import { send } from "/page/api.js";
import { action, el } from "/page/dom.js";
import { crop } from "/page/faces.js";
import { PhotoPlace } from "/page/photo.js";
import { provenance, scale } from "/page/scale.js";
import { pointChooser } from "/page/points.js";

const VERDICTS = { true: ["good", "Same person"], false: ["bad", "Different people"], null: ["none", "No decision"] };

export function compareSection(section) {
  const answer = el("div", { "aria-live": "polite" });
  const changed = () => answer.replaceChildren();
  const places = [new PhotoPlace("First photo", changed), new PhotoPlace("Second photo", changed)];
  const points = pointChooser(["1:1-image"]);
  const run = async () => {
    answer.replaceChildren();
    if (places.some((place) => !place.file)) throw new Error("Give two photos.");
    const found = await send("/v1/verify", places.map((place) => place.file), { operating_point: points.value });
    places.forEach((place, k) => place.show([found.faces[k]]));
    const [kind, words] = VERDICTS[found.same];
    answer.append(
      el("p", { class: `verdict ${kind}` }, `${words} (score ${found.score.toFixed(4)})`),
      el("div", { class: "crops" }, ...places.map((place, k) => el("figure", {},
        crop(place.picture, found.faces[k], `${k ? "Second" : "First"} face, as compared`),
        el("figcaption", {}, quality(found.faces[k]))))),
      scale(found.score, found.operating_point), provenance(found.operating_point));
    if (found.note) answer.append(el("p", {}, found.note));
    answer.scrollIntoView({ block: "nearest" }); // on a phone it is below the photos
  };
  section.append(el("div", { class: "pair" }, ...places.map((place) => place.element)),
    el("div", { class: "fields" }, points.element, action("Compare", run, { class: "main" })), answer);
  return { open: points.load };
}

export function quality(face) {
  if (!face) return "the whole image";
  const why = face.quality_reasons.length ? ` (${face.quality_reasons.join(", ")})` : "";
  return `quality ${face.quality.toFixed(0)} of 100${why}`;
}
