import { get, useToken } from "/page/api.js";
import { compareSection } from "/page/compare.js";
import { gallerySection } from "/page/gallery.js";
import { peopleSection } from "/page/people.js";
import { searchSection } from "/page/search.js";

const byId = (id) => document.getElementById(id);
const state = {
  info: null,
  async load() {
    state.info = await get("/v1/info");
    const { people, images } = state.info.gallery;
    byId("summary").textContent = `${people.toLocaleString("en")} people, ${images.toLocaleString("en")} images`;
  },
};
const sections = {
  compare: compareSection(byId("compare")),
  search: searchSection(byId("search"), state),
  people: peopleSection(byId("people"), state),
  gallery: gallerySection(byId("gallery"), state),
};

async function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const chosen = name in sections ? name : "compare";
  for (const one of Object.keys(sections)) {
    byId(one).hidden = one !== chosen;
    if (one === chosen) byId(`to-${one}`).setAttribute("aria-current", "page");
    else byId(`to-${one}`).removeAttribute("aria-current");
  }
  document.title = `${byId(`${chosen}-title`).textContent} – facever`;
  byId("token").hidden = true;
  let problem = byId(chosen).querySelector(":scope > .problem");
  problem?.remove();
  try {
    if (!state.info) await state.load();
    await sections[chosen].open(rest.length ? decodeURIComponent(rest.join("/")) : undefined);
  } catch (error) {
    if (error.status === 401) return;
    problem = document.createElement("p");
    problem.className = "problem";
    problem.setAttribute("role", "alert");
    problem.textContent = error.message;
    byId(chosen).append(problem);
  }
}

document.addEventListener("token-needed", (event) => {
  for (const one of Object.keys(sections)) byId(one).hidden = true;
  byId("token").hidden = false;
  byId("token").querySelector(".problem").textContent = sessionStorage.length ? event.detail : "";
  byId("token-value").focus();
});
byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token-value").value.trim());
  byId("token-value").value = "";
  show();
});
window.addEventListener("hashchange", () => { show(); byId("main").focus({ preventScroll: true }); });
show();
