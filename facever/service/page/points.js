// The operating points of the gallery, to choose one by name.

import { get } from "/page/api.js";
import { el, field } from "/page/dom.js";

export function pointChooser(kinds) {
  const select = el("select", {}, el("option", { value: "" }, "the default of the service"));
  const element = field("Threshold", select);
  return {
    element,
    get value() { return select.value; },
    async load() {
      const kept = select.value;
      const { operating_points: points } = await get("/v1/thresholds");
      const usable = Object.entries(points).filter(([, point]) => kinds.includes(point.kind));
      select.replaceChildren(el("option", { value: "" }, "the default of the service"),
        ...usable.map(([name]) => el("option", { value: name }, name)));
      select.value = usable.some(([name]) => name === kept) ? kept : "";
    },
  };
}
