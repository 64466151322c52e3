/* The image with persons, and the attention under the pointer. */
'use strict';

const canvas = $('picture'), picture = new Image();
const css = color => `hsl(${(color * 360 * 0.618) % 360} 85% 55%)`;

/** Where a person's keypoint is, in image pixels; null where it is missing. */
function placeOf(person, kind) {
  if (kind in person.moved) return person.moved[kind];
  const found = person.points[kind];
  return found && toImage(found.point);
}

/** A map over the image as a canvas. colorOf gives ABGR in one number for a
 *  value; detail is how many pixels the longer side has at most. */
function painted(map, colorOf, detail, sheet = document.createElement('canvas')) {
  const scale = Math.min(1, detail / Math.max(canvas.width, canvas.height));
  sheet.width = Math.round(canvas.width * scale);
  sheet.height = Math.round(canvas.height * scale);
  const pen = sheet.getContext('2d'), {width, height} = sheet;
  const layer = pen.createImageData(width, height), pixels = new Uint32Array(layer.data.buffer);
  resample(map, width, height, (pixel, value) => { pixels[pixel] = colorOf(value); });
  pen.putImageData(layer, 0, 0);
  return sheet;
}

const maskSheets = new WeakMap();  // by the person's map

/** The person's mask in its color; kept, as a drag draws it again and again. */
function maskSheet(person) {
  const sigma = model.options.mask_threshold, known = maskSheets.get(person.map);
  if (known && known.sigma === sigma && known.color === person.color) return known.sheet;
  const color = packed(...rgb(person.color), 255);
  const sheet = painted(person.map, value => value > sigma ? color : 0, 800);
  maskSheets.set(person.map, {sigma, color: person.color, sheet});
  return sheet;
}

/** Call use(pixel, value) for the map's values over the image, row by row. */
function resample(map, width, height, use) {
  const columns = axis(width, imageWidth, 0, gridWidth), rows = axis(height, imageHeight, 1, gridHeight);
  const line = new Float32Array(gridWidth);
  rows.forEach(([y0, y1, b], y) => {
    for (let t = 0; t < gridWidth; t++) {
      line[t] = map[y0 * gridWidth + t] * (1 - b) + map[y1 * gridWidth + t] * b;
    }
    for (let x = 0; x < width; x++) {
      const [x0, x1, a] = columns[x];
      use(y * width + x, line[x0] * (1 - a) + line[x1] * a);
    }
  });
}

const packed = (r, g, b, alpha) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
const heatColors = Uint32Array.from({length: 256}, (_, i) => packed(
  255, Math.round(255 * (1 - (i / 255) ** 2)), 0, Math.round(210 * Math.min(1, i / 255 * 1.2))));

/** Left token, right token and the right one's share for each pixel of an axis. */
function axis(size, imageSize, which, tokens) {
  return Array.from({length: size}, (_, i) => {
    const pixel = (i + 0.5) * imageSize / size - 0.5;
    const at = (pixel * data.scale[which] + data.offset[which] + 0.5) / model.options.token_stride - 0.5;
    const clipped = Math.min(Math.max(at, 0), tokens - 1);
    const left = Math.min(Math.floor(clipped), Math.max(tokens - 2, 0));
    return [left, Math.min(left + 1, tokens - 1), clipped - left];
  });
}

function rgb(color) {
  const hue = (color * 360 * 0.618) % 360, channel = n => {
    const k = (n + hue / 30) % 12;
    return 255 * (0.55 - 0.3825 * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [channel(0), channel(8), channel(4)].map(Math.round);
}

const resting = document.createElement('canvas');  // without what follows the pointer
const heatSheet = document.createElement('canvas');

function draw() {
  [resting.width, resting.height] = [canvas.width, canvas.height];
  const context = resting.getContext('2d');
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const order = state.persons.map((_, i) => i).reverse();
  if (state.chosen >= 0) order.push(...order.splice(order.indexOf(state.chosen), 1));
  const visible = order.filter(i => state.persons[i].shown);
  if ($('masks').checked) for (const i of visible) {
    context.globalAlpha = state.chosen < 0 || i === state.chosen ? 0.47 : 0.18;
    context.drawImage(maskSheet(state.persons[i]), 0, 0, canvas.width, canvas.height);
  }
  context.globalAlpha = 1;
  if ($('skeletons').checked) for (const i of visible) skeleton(context, state.persons[i], i === state.chosen);
  follow();
}

function skeleton(context, person, chosen) {
  const zoom = canvas.width / imageWidth, width = Math.max(2, canvas.width / 300);
  const places = person.points.map((_, kind) => {
    const place = placeOf(person, kind);
    return place && place.map(value => (value + 0.5) * zoom);
  });
  context.lineCap = 'round';
  for (const [a, b] of data.links) {
    if (!places[a] || !places[b]) continue;
    for (const [style, line] of [['#000a', width + 2], [css(person.color), width]]) {
      context.beginPath();
      context.moveTo(...places[a]);
      context.lineTo(...places[b]);
      Object.assign(context, {strokeStyle: style, lineWidth: line});
      context.stroke();
    }
  }
  places.forEach((place, kind) => {
    if (!place) return;
    const filled = person.points[kind] && person.points[kind].filled && !(kind in person.moved);
    context.beginPath();
    context.arc(...place, width * (chosen ? 2.1 : 1.5), 0, 7);
    Object.assign(context, {fillStyle: filled ? '#0006' : css(person.color), lineWidth: 1.5,
      strokeStyle: chosen ? '#fff' : '#000'});
    context.fill();
    context.stroke();
  });
}

/** What follows the pointer: where this point attends. */
function follow() {
  const context = canvas.getContext('2d');
  context.drawImage(resting, 0, 0);
  if (!state.pointer) return;
  if ($('heat').checked) {
    const map = overMaximum(rowAt(state.layer, tokenAt(state.pointer)));
    const heat = painted(map, value => heatColors[(value * 255) | 0], 320, heatSheet);
    context.drawImage(heat, 0, 0, canvas.width, canvas.height);
  }
  const zoom = canvas.width / imageWidth, [x, y] = state.pointer.map(value => (value + 0.5) * zoom);
  context.beginPath();
  context.arc(x, y, 6, 0, 7);
  Object.assign(context, {strokeStyle: '#fff', lineWidth: 3});
  context.stroke();
  Object.assign(context, {strokeStyle: '#000', lineWidth: 1});
  context.stroke();
}
