// Original, restored and heatmap of one part in one viewport, so that they stay aligned at any
// zoom. Used by the page of an inspection and by the verification station.
import { $, $$ } from "./kit.js";

const LAYERS = ["original", "close", "restored", "dull", "heatmap"]; // from the lowest up
const TRY_AGAIN_MS = 3000;

/** Plain grey in the picture's shape: blended as saturation it takes the colour out of the part. */
function grey(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = 1000; // fine enough that a rounded side leaves no stripe in colour
  canvas.height = Math.max(1, Math.round(1000 * height / width));
  const context = canvas.getContext("2d");
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}

/** The outlines of the regions, from a path in pixels of the picture. */
function outline({ outline: path, width, height }) {
  if (!path) return null;
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "osd-outlines regions");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  for (const name of ["under", "over"]) {
    const line = document.createElementNS(space, "path");
    line.setAttribute("class", name);
    line.setAttribute("d", path);
    svg.append(line);
  }
  return svg;
}

/** Tiles of a picture that is larger than its preview; OpenSeadragon counts levels from the
 *  smallest, their addresses from the original. */
function tileSource({ tiles, width, height }) {
  const last = tiles.levels - 1;
  return {
    width: Number(width), height: Number(height), tileSize: tiles.size, tileOverlap: tiles.overlap, minLevel: 0, maxLevel: last,
    getTileUrl: (level, x, y) => `${tiles.address}${last - level}/${x}/${y}.jpg`,
  };
}

export class PartViewer {
  /** `place` is the element to draw in; `slider` sets the heatmap's opacity, where there is one. */
  constructor(place, slider) {
    this.place = place;
    this.slider = slider;
    this.shown = { original: true, restored: false, heatmap: sessionStorage.getItem("kintsugi-heatmap") !== "off", regions: true };
    this.opacity = Number(sessionStorage.getItem("kintsugi-opacity") ?? 70);
    this.found = {};
    this.part = null;
    this.opened = 0;
    this.viewer = OpenSeadragon({
      element: place, drawer: "canvas", showNavigationControl: false, visibilityRatio: 0.6, minZoomImageRatio: 0.8,
      maxZoomPixelRatio: 12, animationTime: 0.3, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      tileRetryMax: 1,
    });
    this.viewer.addHandler("viewport-change", () => this.#comeClose());
    this.#controls();
  }

  /** Show a part: {original, restored?, heatmap?, width, height, tiles?, regions: [{x, y, width, height, name}]}.
   *  Without restored and heatmap it is a picture and nothing else. Resolves when it is drawn. */
  open(part) {
    const mine = ++this.opened;
    this.part = part;
    this.found = {};
    this.asked?.abort();
    this.asked = null;
    this.isClose = false;
    this.#note("");
    delete this.place.dataset.ready;
    delete this.place.dataset.close;
    this.viewer.clearOverlays();
    this.viewer.world.removeAll();
    const urls = { original: part.original, restored: part.restored, heatmap: part.heatmap };
    if (part.heatmap) urls.dull = grey(part.width, part.height);
    const names = LAYERS.filter((name) => urls[name]);
    return Promise.all(names.map((name) => this.#add(name, urls[name], mine))).then(() => { if (mine === this.opened) this.#ready(names); });
  }

  #add(name, url, mine) {
    return new Promise((resolve) => {
      const blend = name === "dull" ? { compositeOperation: "saturation" } : {};
      this.viewer.addTiledImage({
        tileSource: { type: "image", url, buildPyramid: false }, x: 0, y: 0, width: 1, opacity: 0, ...blend,
        success: ({ item }) => {
          if (mine !== this.opened) { this.viewer.world.removeItem(item); return; }
          this.found[name] = item;
          this.#apply();
          resolve();
        },
        error: resolve, // a layer that is gone must not hide the others
      });
    });
  }

  #ready(names) {
    const there = names.filter((name) => this.found[name]);
    for (const name of there) { // the same frame, even where a side was rounded
      this.found[name].setPosition(new OpenSeadragon.Point(0, 0), true);
      this.found[name].setWidth(1, true);
    }
    there.forEach((name, i) => this.viewer.world.setItemIndex(this.found[name], i));
    if (this.found.original) this.#outlines();
    this.viewer.viewport.goHome(true);
    this.place.dataset.ready = "yes";
    this.#comeClose();
  }

  /** Where the preview would be enlarged, tiles of the original lie on it. Going back hides them:
   *  as they are, hundreds would be drawn for the whole picture. */
  #comeClose() {
    if (!this.part?.tiles || !this.place.dataset.ready) return;
    const { tiles, width, height } = this.part, { viewport } = this.viewer;
    const shown = viewport.getZoom() * viewport.getContainerSize().x * OpenSeadragon.pixelDensityRatio; // the whole picture's width
    const isClose = shown > tiles.preview * width / Math.max(width, height);
    if (isClose === this.isClose) return;
    this.isClose = isClose;
    if (isClose && !this.found.close && !this.asked) this.#fetchClose(this.opened);
    if (!isClose && !this.asked) this.#note("");
    this.#apply();
  }

  /** One tile first: the server cuts all of them for it, which takes seconds where nobody was here
   *  lately, and a browser that waits for a dozen meanwhile could send no decision. */
  async #fetchClose(mine) {
    this.asked = new AbortController();
    this.#note("waits");
    try {
      const answer = await fetch(`${this.part.tiles.address}0/0/0.jpg`, { credentials: "same-origin", signal: this.asked.signal });
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      await answer.blob();
    } catch {
      if (mine !== this.opened) return;
      this.#note("fails");
      setTimeout(() => { if (mine === this.opened) { this.asked = null; this.isClose = false; } }, TRY_AGAIN_MS);
      return;
    }
    if (mine !== this.opened) return;
    this.viewer.addTiledImage({
      tileSource: tileSource(this.part), x: 0, y: 0, width: 1, opacity: 0, index: 1,
      success: ({ item }) => {
        if (mine !== this.opened) { this.viewer.world.removeItem(item); return; }
        this.asked = null;
        this.found.close = item;
        this.#note("");
        this.#apply();
        this.place.dataset.close = "yes";
      },
    });
  }

  #note(what) {
    const note = $("#viewer-note");
    if (note) note.textContent = what && note.dataset[what];
  }

  get #ratio() { // of the original: a side of its preview may be rounded
    return this.part.height / this.part.width;
  }

  #outlines() { // as one drawing that lies on the picture, where there is one, and a number at each
    const all = new OpenSeadragon.Rect(0, 0, 1, this.#ratio);
    const drawing = this.part.drawing || outline(this.part);
    if (drawing) this.viewer.addOverlay({ element: drawing, location: all });
    for (const { x, y, width, height, name } of this.part.regions || []) {
      const box = document.createElement("div");
      box.className = "osd-region";
      const number = document.createElement("b");
      number.textContent = name;
      box.append(number);
      const rect = new OpenSeadragon.Rect(Number(x), y * this.#ratio, Number(width), height * this.#ratio);
      this.viewer.addOverlay({ element: box, location: rect });
    }
  }

  #apply() {
    const heat = this.shown.heatmap && this.part?.heatmap;
    const opacity = { original: this.shown.original ? 1 : 0, restored: this.shown.restored ? 1 : 0,
      dull: heat ? 0.75 * Math.min(1, this.opacity / 50) : 0, heatmap: heat ? this.opacity / 100 : 0 };
    if (!this.part?.restored) opacity.original = 1;
    opacity.close = this.isClose ? opacity.original : 0;
    for (const [name, item] of Object.entries(this.found)) item.setOpacity(opacity[name]);
    for (const button of $$("[data-layer]")) button.setAttribute("aria-pressed", this.shown[button.dataset.layer]);
    this.place.classList.toggle("no-regions", !this.shown.regions);
  }

  /** Original or restored, whichever is named; heatmap and regions on or off. */
  show(name) {
    if (name === "original" || name === "restored") { this.shown.original = name === "original"; this.shown.restored = name === "restored"; }
    else this.shown[name] = !this.shown[name];
    sessionStorage.setItem("kintsugi-heatmap", this.shown.heatmap ? "on" : "off");
    this.#apply();
  }

  zoom(how) {
    const act = { in: () => this.viewer.viewport.zoomBy(1.5), out: () => this.viewer.viewport.zoomBy(1 / 1.5), home: () => this.viewer.viewport.goHome() };
    act[how]();
    this.viewer.viewport.applyConstraints();
  }

  /** Bring a region close. */
  goTo({ x, y, width, height }) {
    const margin = 2.5, w = Math.max(width, 0.12) * margin, h = Math.max(height * this.#ratio, 0.12) * margin;
    this.viewer.viewport.fitBounds(new OpenSeadragon.Rect(Number(x) + width / 2 - w / 2, (Number(y) + height / 2) * this.#ratio - h / 2, w, h));
  }

  #controls() {
    for (const button of $$("[data-layer]")) button.addEventListener("click", () => this.show(button.dataset.layer));
    for (const button of $$("[data-zoom]")) button.addEventListener("click", () => this.zoom(button.dataset.zoom));
    if (!this.slider) return;
    this.slider.value = this.opacity;
    this.slider.addEventListener("input", () => {
      this.opacity = Number(this.slider.value);
      this.shown.heatmap = this.opacity > 0;
      sessionStorage.setItem("kintsugi-opacity", this.slider.value);
      this.#apply();
    });
  }
}
