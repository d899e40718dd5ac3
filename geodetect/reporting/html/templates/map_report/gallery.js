"use strict";
// Thumbnails of the worst errors.

const GALLERY = {
  fp: { alt: "False positive", text: "Predictions of the highest scores{at} that match no object." },
  loose: { alt: "Found, but the box is off", text: "Predictions{at} near an object, but with a box that does not match it; those that overlap least first." },
  fn: { alt: "Missed object", text: "Objects that match no prediction{at}; first those that match none at any score, the largest first." },
};

function initGallery() {
  if (!data.errors) return;
  byId("errors").hidden = false;
  const at = data.score_threshold !== null && scores ? ` at a score threshold of ${data.score_threshold}` : "";
  byId("error-colours").replaceChildren(...categories.filter((_, code) => code !== LOOSE || loosePairs.length)
    .map((style) => element("span", "", {}, swatch(style), style.name)));
  for (const [kind, { alt, text }] of Object.entries(GALLERY)) {
    const thumbnails = data.errors[kind];
    byId(`${kind}-gallery`).hidden = !thumbnails;
    if (!thumbnails) continue;
    byId(`${kind}-text`).textContent = thumbnails.length ? text.replace("{at}", at) : `None${at}.`;
    byId(`${kind}-thumbnails`).replaceChildren(...thumbnails.map(({ row, src }) =>
      errorButton(kind === "fn" ? predictionCount + row : row, src, alt)));
  }
}

function errorButton(row, src, alt) {
  const [x, y, w, h] = boxOf(row), size = `${(Math.max(w, h) * pixelSize(x, y)).toFixed(1)} ${unit}`;
  const texts = [scoreOf(row)?.toFixed(2), size];
  if (looseTruth.has(row) && isPrediction(row)) {
    const [iou, distance] = compareBoxes([x, y, w, h], boxOf(predictionCount + looseTruth.get(row)));
    texts.push(`IoU ${iou.toFixed(2)}`, `${(distance * pixelSize(x, y)).toFixed(1)} ${unit} off`);
  }
  const caption = texts.filter(Boolean).map((text) => text.replaceAll(" ", "\u00a0")).join(" · ");
  const button = element("button", "", { type: "button" }, element("img", "", { src, alt }), element("span", caption));
  button.addEventListener("click", () => {
    map.zoomToBox(x, y, w, h);
    select(row);
    byId("map-section").scrollIntoView({ behavior: "smooth", block: "start" });
  });
  return button;
}
