// Search in a site that is opened from a folder (file://). Browsers start no Worker there, so the search's
// program runs in a hidden frame of the page. Over HTTP nothing changes.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(program) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = "<!doctype html>";
      this.ready = new Promise((resolve) => {
        this.frame.onload = () => resolve(this.frame.contentWindow);
      }).then((inside) => this.start(inside, new URL(program, location.href)));
      document.documentElement.append(this.frame);
    }

    async start(inside, program) {
      const load = (url) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: url, onload: resolve, onerror: reject });
          inside.document.head.append(script);
        });
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = async (...urls) => {
        for (const url of urls) await load(new URL(url, program));
      };
      await load(program);
      return inside;
    }

    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
