// Faces on a canvas: boxes, and crops aligned by five landmarks.

const TEMPLATE = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];
export const SIDE = 112;

/** The similarity transform (Umeyama, 1991) from landmarks to the template: x' = ax - by + c, y' = bx + ay + d. */
export function similarity(landmarks) {
  const mean = (points, k) => points.reduce((sum, point) => sum + point[k], 0) / points.length;
  const from = [mean(landmarks, 0), mean(landmarks, 1)];
  const to = [mean(TEMPLATE, 0), mean(TEMPLATE, 1)];
  let along = 0, across = 0, square = 0;
  landmarks.forEach((point, k) => {
    const [x, y] = [point[0] - from[0], point[1] - from[1]];
    const [u, v] = [TEMPLATE[k][0] - to[0], TEMPLATE[k][1] - to[1]];
    along += x * u + y * v;
    across += x * v - y * u;
    square += x * x + y * y;
  });
  const [a, b] = [along / square, across / square];
  return { a, b, c: to[0] - a * from[0] + b * from[1], d: to[1] - b * from[0] - a * from[1] };
}

export function crop(picture, face, name) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  canvas.className = "crop";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", name);
  const context = canvas.getContext("2d");
  if (face) {
    const { a, b, c, d } = similarity(face.landmarks);
    context.setTransform(a, b, -b, a, c, d);
  } else {
    context.setTransform(SIDE / picture.width, 0, 0, SIDE / picture.height, 0, 0);
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0);
  return canvas;
}

export function drawFaces(canvas, picture, faces = [], names = []) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const thick = Math.max(2, Math.round(Math.max(picture.width, picture.height) / 250));
  context.font = `bold ${thick * 9}px system-ui, sans-serif`;
  faces.forEach((face, k) => {
    if (!face) return;
    const [x, y, width, height] = face.box;
    context.lineWidth = thick * 2;
    context.strokeStyle = "#000";
    context.strokeRect(x, y, width, height);
    context.lineWidth = thick;
    context.strokeStyle = "#ffd43b";
    context.strokeRect(x, y, width, height);
    if (names[k]) {
      const text = context.measureText(names[k]).width;
      context.fillStyle = "#000";
      context.fillRect(x, Math.max(0, y - thick * 11), text + thick * 4, thick * 11);
      context.fillStyle = "#ffd43b";
      context.fillText(names[k], x + thick * 2, Math.max(thick * 9, y - thick * 2));
    }
  });
}
