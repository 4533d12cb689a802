// Why an image was found: small grids of numbers between 0 and 1, drawn warm over a picture.

import { make } from "./elements.js";

export const OUTLINED = "A line surrounds what is at least half as warm as the warmest.";
const SIDE = 160, MOST = 0.58, EDGE = 0.5;

// A canvas to lie over a picture that is shown whole (object-fit: contain); it takes the picture's proportions.
export function heat(picture, grid, whose) {
  const canvas = make("canvas", { class: "heat", role: "img", "aria-label": `Warm ${inWords(grid)}: where ${whose}` });
  const draw = () => {
    const { naturalWidth: w, naturalHeight: h } = picture;
    if (!w || !h) return;
    canvas.width = Math.max(1, Math.round((SIDE * w) / Math.max(w, h)));
    canvas.height = Math.max(1, Math.round((SIDE * h) / Math.max(w, h)));
    paint(canvas, grid);
  };
  if (picture.complete) draw();
  picture.addEventListener("load", draw);
  return canvas;
}

// Where the grid is highest, as one would say it.
export function inWords(grid) {
  let best = 0, at = [0, 0];
  grid.forEach((row, y) => row.forEach((value, x) => { if (value > best) { best = value; at = [y, x]; } }));
  if (!best) return "nowhere";
  const third = (place, n, names) => names[Math.min(2, Math.floor(((place + 0.5) / n) * 3))];
  const y = third(at[0], grid.length, ["upper", "", "lower"]), x = third(at[1], grid[0].length, ["left", "", "right"]);
  if (!x && !y) return "in the middle";
  return `at the ${[y, x].filter(Boolean).join(" ")}${x ? "" : " edge"}`;
}

function paint(canvas, grid) {
  const { width, height } = canvas, pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
  const warm = new Float32Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) warm[y * width + x] = between(grid, (x + 0.5) / width, (y + 0.5) / height);
  for (let place = 0; place < warm.length; place++) {
    const x = place % width, inside = warm[place] >= EDGE;
    // A line around what is at least half as warm as the warmest, for eyes that the colour tells little.
    const edge = inside && ((x > 0 && warm[place - 1] < EDGE) || (x < width - 1 && warm[place + 1] < EDGE)
      || warm[place - width] < EDGE || warm[place + width] < EDGE);
    image.data.set(edge ? [255, 236, 200, 255] : [255, 96, 0, Math.round(255 * MOST * warm[place])], 4 * place);
  }
  pen.putImageData(image, 0, 0);
}

// The grid at a place between 0 and 1 on either axis, smooth between the middles of its cells.
function between(grid, x, y) {
  const rows = grid.length, columns = grid[0].length;
  const along = (share, n) => {
    const place = Math.min(n - 1, Math.max(0, share * n - 0.5)), low = Math.min(Math.floor(place), Math.max(0, n - 2));
    const part = place - low;
    return [low, Math.min(n - 1, low + 1), part * part * (3 - 2 * part)];
  };
  const [top, bottom, down] = along(y, rows), [left, right, over] = along(x, columns);
  const mix = (a, b, share) => a + (b - a) * share;
  return mix(mix(grid[top][left], grid[top][right], over), mix(grid[bottom][left], grid[bottom][right], over), down);
}
