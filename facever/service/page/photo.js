// A photo from the user: dropped, chosen, pasted or taken with the camera. It stays in the browser until it is sent.

import { el } from "/page/dom.js";
import { drawFaces } from "/page/faces.js";

const ACCEPTED = "image/jpeg,image/png,image/webp,image/avif";
const places = [];
let latest = null;

document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  const visible = places.filter((one) => one.element.offsetParent !== null);
  if (!file || !visible.length) return;
  event.preventDefault();
  const focused = visible.find((one) => one.element.contains(document.activeElement));
  const empty = visible.find((one) => !one.file && !one.awaited);
  (focused ?? empty ?? (visible.includes(latest) ? latest : visible[0])).take(file);
});
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => event.preventDefault()); // a missed drop must not leave the page
}

export class PhotoPlace {
  /** @param title What it is for. @param changed Called with this place when the photo changes. */
  constructor(title, changed) {
    this.file = this.picture = this.awaited = null; // awaited: a file that the browser is still decoding
    this.changed = changed;
    this.canvas = el("canvas", { hidden: true, role: "img", "aria-label": `${title}: the photo` });
    this.problem = el("p", { class: "problem", role: "alert" });
    const chooser = el("input", { type: "file", accept: ACCEPTED, onchange: () => {
      if (chooser.files.length) this.take(chooser.files[0]);
      chooser.value = "";
    } });
    this.element = el("div", { class: "photo", role: "group", "aria-label": title },
      el("h2", {}, title), this.canvas,
      el("div", { class: "buttons" },
        el("label", { class: "button" }, "Choose a photo", chooser),
        el("button", { type: "button", onclick: () => this.useCamera() }, "Use the camera")),
      el("p", { class: "hint" }, "Or drop a photo here, or paste one. JPEG, PNG, WebP or AVIF."), this.problem);
    this.element.addEventListener("dragover", () => this.element.classList.add("over"));
    this.element.addEventListener("dragleave", () => this.element.classList.remove("over"));
    this.element.addEventListener("drop", (event) => {
      this.element.classList.remove("over");
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
    this.element.addEventListener("focusin", () => (latest = this));
    places.push(this);
  }

  async take(file) {
    latest = this;
    this.problem.textContent = "";
    this.awaited = file;
    let picture = null;
    try {
      picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    } catch { /* no picture */ }
    if (this.awaited !== file) return; // another file was given meanwhile
    this.awaited = null;
    if (!picture) {
      this.problem.textContent = "This file is not an image that the browser can show.";
      return;
    }
    this.file = file;
    this.picture = picture;
    this.show();
    await this.changed(this);
  }

  show(faces = [], names = []) {
    drawFaces(this.canvas, this.picture, faces, names);
    this.canvas.hidden = false;
  }

  async useCamera() {
    this.problem.textContent = "";
    if (!window.isSecureContext || !navigator.mediaDevices) {
      this.problem.textContent = "The camera needs HTTPS, or a page on this computer (localhost).";
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
    } catch (error) {
      this.problem.textContent = error.name === "NotAllowedError"
        ? "The browser was not allowed to use the camera." : "There is no camera that can be used.";
      return;
    }
    const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "Picture of the camera" });
    const dialog = el("dialog", { "aria-label": "Camera" }, video);
    const end = () => {
      stream.getTracks().forEach((track) => track.stop());
      dialog.close();
      dialog.remove();
    };
    const shoot = () => {
      const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      end();
      canvas.toBlob((taken) => this.take(taken), "image/jpeg", 0.95);
    };
    const button = el("button", { type: "button", class: "main", disabled: true, onclick: shoot }, "Take the photo");
    video.addEventListener("loadeddata", () => { button.disabled = false; button.focus(); });
    dialog.append(el("div", { class: "buttons" }, button, el("button", { type: "button", onclick: end }, "Cancel")));
    dialog.addEventListener("cancel", end);
    document.body.append(dialog);
    dialog.showModal();
    video.srcObject = stream;
  }
}
