/* The page: what is shown, pointed at, clicked and changed. */
'use strict';

const $ = id => document.getElementById(id);
const data = JSON.parse($('data').textContent);

// --- the model, unpacked --------------------------------------------------

function bytes(text) {
  return Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
}

function numbers({bits, scale, content}) {
  const raw = bytes(content).buffer;
  const whole = bits === 16 ? new Int16Array(raw) : new Int8Array(raw);
  return Float32Array.from(whole, value => value * scale);
}

const [gridHeight, gridWidth] = data.grid;
const length = gridHeight * gridWidth;
const model = {
  options: {...data.options}, candidates: data.candidates, grid: data.grid,
  heatmapSize: data.heatmap_size, contentCells: data.content_cells,
  heatmaps: numbers(data.heatmaps),
};
const layers = data.layers.map(layer => ({...layer, unpacked: null}));
const caches = layers.map(() => new Map());

/** Attention of a token in a layer; kept, as it is asked for often. */
function rowAt(layer, token) {
  const cache = caches[layer], chosen = layers[layer];
  if (!cache.has(token)) {
    chosen.unpacked = chosen.unpacked || {
      heads: chosen.heads, d: chosen.d, q: numbers(chosen.q), k: numbers(chosen.k)};
    cache.set(token, attentionRow(chosen.unpacked, token, length));
  }
  return cache.get(token);
}
const rowOf = candidate => rowAt(data.supervised, model.candidates.tokens[candidate]);

// --- frames ---------------------------------------------------------------

const [imageWidth, imageHeight] = data.image_size;
const toInput = ([x, y]) => [x * data.scale[0] + data.offset[0], y * data.scale[1] + data.offset[1]];
const toImage = ([x, y]) => [(x - data.offset[0]) / data.scale[0], (y - data.offset[1]) / data.scale[1]];

function tokenAt(pointImage) {
  const [x, y] = toInput(pointImage).map(value => Math.floor(value / model.options.token_stride));
  return Math.min(Math.max(y, 0), gridHeight - 1) * gridWidth + Math.min(Math.max(x, 0), gridWidth - 1);
}

// --- state: persons, and what the user changed ----------------------------

const state = {persons: [], chosen: -1, merging: false, pointer: null, layer: data.supervised, past: []};

function identified(persons) {
  return persons.map((person, i) => ({
    ...person, color: i, shown: person.score >= data.draw_thr, moved: {}}));
}

function regroup() {
  state.persons = identified(decode(model, rowOf));
  state.chosen = -1;
  state.past = [];
  refresh();
}

/** Change the persons, so that it can be undone. */
function change(persons, chosen, words) {
  state.past.push({persons: state.persons, chosen: state.chosen});
  Object.assign(state, {persons, chosen, merging: false});
  say(words);
  refresh();
}

function freeColor() {
  const used = new Set(state.persons.map(person => person.color));
  let color = 0;
  while (used.has(color)) color++;
  return color;
}

function made(candidates, map, like) {
  const rows = {};
  candidates.forEach(c => { if (c >= 0) rows[c] = rowOf(c); });
  return {...describe(candidates, rows, model, map), shown: true, moved: {}, ...like};
}

function mergeWith(other) {
  const [a, b] = [state.chosen, other].map(i => state.persons[i]);
  const union = combine([a.candidates, b.candidates], model.candidates.scores);
  const person = made(union, undefined, {color: a.color, moved: {...b.moved, ...a.moved}});
  const persons = state.persons.filter((_, i) => i !== other && i !== state.chosen);
  change([person, ...persons], 0, 'Two persons are one now.');
}

function split() {
  const person = state.persons[state.chosen];
  const halves = splitPerson(person.candidates, rowOf, model.candidates);
  if (halves.length < 2) return say('One keypoint cannot be split.');
  const parts = halves.map((half, i) => made(half, undefined, {color: i ? freeColor() : person.color}));
  const persons = state.persons.filter((_, i) => i !== state.chosen);
  change([...parts, ...persons], 0, 'The person is two now.');
}

function drop() {
  change(state.persons.filter((_, i) => i !== state.chosen), -1, 'The person is gone.');
}

function undo() {
  const before = state.past.pop();
  if (before) { Object.assign(state, before, {merging: false}); say('Undone.'); refresh(); }
}

/** The person at a point of the image: chosen if it is there, else added. */
function click(pointImage) {
  const token = tokenAt(pointImage);
  const found = personAt(token, rowAt(data.supervised, token), rowOf, model);
  let best = -1, most = 0;
  state.persons.forEach((person, i) => {
    const common = person.candidates.filter(c => c >= 0 && found.candidates.includes(c)).length;
    const own = person.candidates.filter(c => c >= 0).length;
    const share = common / Math.max(1, Math.min(own, found.candidates.filter(c => c >= 0).length));
    if (share > most) { most = share; best = i; }
  });
  if (state.merging) {
    if (best >= 0 && best !== state.chosen) return mergeWith(best);
    state.merging = false;
  }
  if (most >= 0.5) {
    state.chosen = best;
    state.persons[best].shown = true;
    say(`Person ${best + 1}, score ${state.persons[best].score.toFixed(2)}.`);
    refresh();
  } else {
    const person = {...found, color: freeColor(), shown: true, moved: {}};
    change([...state.persons, person], state.persons.length,
      'Nobody was grouped here: this is what the place attends to. Drop it if it is nobody.');
  }
}

const say = words => { $('status').textContent = words; };

// --- drawing --------------------------------------------------------------

const canvas = $('picture'), picture = new Image();
const css = color => `hsl(${(color * 360 * 0.618) % 360} 85% 55%)`;

/** Where a person's keypoint is, in image pixels; null where it is missing. */
function placeOf(person, kind) {
  if (kind in person.moved) return person.moved[kind];
  const found = person.points[kind];
  return found && toImage(found.point);
}

const sheet = document.createElement('canvas');

/** Lay a map over the image. colorOf gives ABGR in one number for a value; the
 *  map is drawn with so many pixels along the longer side. */
function paint(context, map, colorOf, detail = 1280) {
  const scale = Math.min(1, detail / Math.max(canvas.width, canvas.height));
  sheet.width = Math.round(canvas.width * scale);
  sheet.height = Math.round(canvas.height * scale);
  const pen = sheet.getContext('2d'), {width, height} = sheet;
  const layer = pen.createImageData(width, height), pixels = new Uint32Array(layer.data.buffer);
  resample(map, width, height, (pixel, value) => { pixels[pixel] = colorOf(value); });
  pen.putImageData(layer, 0, 0);
  context.drawImage(sheet, 0, 0, canvas.width, canvas.height);
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

let resting = null;  // the image with persons, without what follows the pointer

function draw() {
  const context = canvas.getContext('2d');
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const sigma = model.options.mask_threshold, order = state.persons.map((_, i) => i).reverse();
  if (state.chosen >= 0) order.push(...order.splice(order.indexOf(state.chosen), 1));
  const visible = order.filter(i => state.persons[i].shown);
  if ($('masks').checked) for (const i of visible) {
    const person = state.persons[i];
    const color = packed(...rgb(person.color), state.chosen < 0 || i === state.chosen ? 120 : 45);
    paint(context, person.map, value => value > sigma ? color : 0);
  }
  if ($('skeletons').checked) for (const i of visible) skeleton(context, state.persons[i], i === state.chosen);
  resting = context.getImageData(0, 0, canvas.width, canvas.height);
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
  if (!resting) return;
  context.putImageData(resting, 0, 0);
  if (!state.pointer) return;
  if ($('heat').checked) {
    const map = overMaximum(rowAt(state.layer, tokenAt(state.pointer)));
    paint(context, map, value => heatColors[(value * 255) | 0], 320);
  }
  const zoom = canvas.width / imageWidth, [x, y] = state.pointer.map(value => (value + 0.5) * zoom);
  context.beginPath();
  context.arc(x, y, 6, 0, 7);
  Object.assign(context, {strokeStyle: '#fff', lineWidth: 3});
  context.stroke();
  Object.assign(context, {strokeStyle: '#000', lineWidth: 1});
  context.stroke();
}

// --- the panel --------------------------------------------------------------

function refresh() {
  const list = $('persons');
  list.replaceChildren(...state.persons.map((person, i) => {
    const item = document.createElement('li');
    item.tabIndex = 0;
    item.setAttribute('aria-selected', i === state.chosen);
    const box = Object.assign(document.createElement('input'), {type: 'checkbox', checked: person.shown});
    box.setAttribute('aria-label', `show person ${i + 1}`);
    box.onclick = event => { event.stopPropagation(); person.shown = box.checked; draw(); };
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.background = css(person.color);
    const name = Object.assign(document.createElement('span'), {
      className: 'grow', textContent: `Person ${i + 1}`});
    const count = person.candidates.filter(c => c >= 0).length;
    const score = Object.assign(document.createElement('span'), {
      className: 'number', textContent: `${count} keypoints · ${person.score.toFixed(2)}`});
    item.append(box, swatch, name, score);
    const choose = () => {
      if (state.merging && i !== state.chosen) return mergeWith(i);
      state.chosen = state.chosen === i ? -1 : i;
      state.merging = false;
      refresh();
    };
    item.onclick = choose;
    item.onkeydown = event => { if (event.key === 'Enter' && event.target === item) choose(); };
    return item;
  }));
  if (!state.persons.length) say('Nobody: lower t, or click where you see somebody.');
  for (const id of ['split', 'drop', 'merge']) $(id).disabled = state.chosen < 0;
  $('merge').setAttribute('aria-pressed', state.merging);
  $('undo').disabled = !state.past.length;
  why();
  draw();
}

function why() {
  const person = state.persons[state.chosen], body = $('why').tBodies[0];
  $('why').hidden = !person;
  $('why-hint').hidden = Boolean(person);
  if (!person) return;
  body.replaceChildren(...explained(state.chosen).map(line => {
    const row = document.createElement('tr');
    const percent = value => value === null ? '–' : (100 * value).toFixed(2);
    for (const text of [line.name, line.score.toFixed(2), percent(line.own), percent(line.other),
      percent(line.margin)]) {
      row.append(Object.assign(document.createElement('td'), {textContent: text}));
    }
    if (line.margin !== null && line.margin < 0) row.lastChild.className = 'doubtful';
    return row;
  }));
}

/** Of each candidate of a person its attraction to it and to the next best. */
function explained(index) {
  const person = state.persons[index];
  return person.candidates.flatMap((c, kind) => {
    if (c < 0) return [];
    const own = attractionTo(c, person.candidates, rowOf, model.candidates);
    const others = state.persons.filter((_, i) => i !== index).map(
      other => attractionTo(c, other.candidates, rowOf, model.candidates));
    const other = others.length ? Math.max(...others) : null;
    return [{name: data.names[kind], score: model.candidates.scores[c], own, other,
      margin: other === null ? null : own - other}];
  });
}

// --- download ---------------------------------------------------------------

/** The mask of a map at the image's size, as COCO's uncompressed RLE. */
function runLengths(map) {
  const inside = new Uint8Array(imageWidth * imageHeight);
  resample(map, imageWidth, imageHeight, (pixel, value) => {
    inside[pixel] = value > model.options.mask_threshold ? 1 : 0;
  });
  const counts = [], box = [Infinity, Infinity, -1, -1];
  let last = 0, run = 0, area = 0;
  for (let x = 0; x < imageWidth; x++) for (let y = 0; y < imageHeight; y++) {  // COCO's order
    const here = inside[y * imageWidth + x];
    if (here !== last) { counts.push(run); run = 0; last = here; }
    run++;
    if (here) {
      area++;
      box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
    }
  }
  counts.push(run);
  return {segmentation: {size: [imageHeight, imageWidth], counts}, area,
    bbox: area ? [box[0], box[1], box[2] - box[0], box[3] - box[1]] : [0, 0, 0, 0]};
}

function annotations() {
  const people = state.persons.filter(person => person.shown).map((person, i) => {
    const keypoints = person.points.flatMap((_, kind) => {
      const place = placeOf(person, kind);
      return place ? [...place.map(value => Math.round(value * 100) / 100), 2] : [0, 0, 0];
    });
    return {id: i + 1, image_id: 1, category_id: data.category_id, iscrowd: 0, keypoints,
      num_keypoints: keypoints.filter((v, n) => n % 3 === 2 && v > 0).length, ...runLengths(person.map)};
  });
  return {
    images: [{id: 1, file_name: data.file_name, width: imageWidth, height: imageHeight}],
    annotations: people,
    categories: [{id: data.category_id, name: 'person', keypoints: data.names,
      skeleton: data.links.map(link => link.map(kind => kind + 1))}],
  };
}

function download() {
  const address = URL.createObjectURL(new Blob([JSON.stringify(annotations())], {type: 'application/json'}));
  Object.assign(document.createElement('a'), {
    href: address, download: data.file_name.replace(/\.[^.]*$/, '') + '.json'}).click();
  URL.revokeObjectURL(address);
}

// --- what the user does -----------------------------------------------------

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * imageWidth - 0.5,
    (event.clientY - box.top) / box.height * imageHeight - 0.5];
}

let dragged = null;  // [kind] of the chosen person's keypoint
let asked = false;

function soon() {  // at most once per frame
  if (!asked) requestAnimationFrame(() => { asked = false; follow(); });
  asked = true;
}

function nearest(point) {
  const person = state.persons[state.chosen];
  if (!person) return null;
  const reach = 10 * imageWidth / canvas.getBoundingClientRect().width;
  let best = null, least = reach;
  person.points.forEach((_, kind) => {
    const place = placeOf(person, kind);
    const distance = place ? Math.hypot(place[0] - point[0], place[1] - point[1]) : Infinity;
    if (distance < least) { least = distance; best = kind; }
  });
  return best;
}

canvas.onpointerdown = event => {
  state.pointer = pointOf(event);
  const kind = nearest(state.pointer);
  dragged = kind === null ? null : {kind, moved: false};
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointermove = event => {
  state.pointer = pointOf(event);
  if (dragged) {
    const person = state.persons[state.chosen];
    if (!dragged.moved) {
      const copy = {...person, moved: {...person.moved}};
      change(state.persons.map((p, i) => i === state.chosen ? copy : p), state.chosen,
        `Moving ${data.names[dragged.kind]}.`);
      dragged.moved = true;
    }
    state.persons[state.chosen].moved[dragged.kind] = state.pointer;
    draw();
  } else soon();
};
canvas.onpointerup = event => {
  if (!dragged || !dragged.moved) click(pointOf(event));
  dragged = null;
  if (event.pointerType === 'touch') soon();
};
canvas.onpointercancel = () => { dragged = null; };
canvas.onpointerleave = () => { state.pointer = null; soon(); };

document.onkeydown = event => {
  if (event.target.matches('input, select') || event.ctrlKey || event.metaKey) return;
  const step = model.options.token_stride / data.scale[0];
  const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
  const keys = {m: startMerge, s: split, Delete: drop, Backspace: drop, z: undo, Escape: () => {
    state.merging = false; state.chosen = -1; refresh(); }};
  if (event.key in moves && document.activeElement === canvas) {
    const [x, y] = state.pointer || [imageWidth / 2, imageHeight / 2];
    state.pointer = [Math.min(Math.max(x + moves[event.key][0], 0), imageWidth - 1),
      Math.min(Math.max(y + moves[event.key][1], 0), imageHeight - 1)];
    soon();
  } else if (event.key === 'Enter' && document.activeElement === canvas && state.pointer) {
    click(state.pointer);
  } else if (event.key in keys && (state.chosen >= 0 || 'zEscape'.includes(event.key))) {
    keys[event.key]();
  } else return;
  event.preventDefault();
};

function startMerge() {
  state.merging = true;
  say('Choose the person to merge with.');
  refresh();
}

for (const [id, action] of Object.entries({merge: startMerge, split, drop, undo, reset: regroup, download})) {
  $(id).onclick = action;
}
for (const id of ['masks', 'skeletons', 'heat']) $(id).onchange = draw;
$('layer').onchange = () => { state.layer = Number($('layer').value); soon(); };

const sliders = {
  t: ['score_threshold', Number, value => value],
  lambda: ['attraction_threshold', value => 10 ** value, Math.log10],
  sigma: ['mask_threshold', Number, value => value],
};
for (const [id, [option, read, write]] of Object.entries(sliders)) {
  const show = () => { $(`${id}-value`).value = Number(model.options[option].toPrecision(2)); };
  $(id).value = write(model.options[option]);
  if (id === 't') $(id).min = data.lowest_score;
  $(id).oninput = () => { model.options[option] = read($(id).value); show(); regroup(); };
  show();
}

layers.forEach((layer, i) => $('layer').append(
  Object.assign(document.createElement('option'), {value: i, textContent: layer.name})));
$('layer').value = data.supervised;
document.title = `${data.file_name} – attention explorer`;

picture.onload = () => {
  const most = Math.max(imageWidth, imageHeight), side = Math.min(Math.max(most, 640), 1280);
  canvas.width = Math.round(imageWidth * side / most);
  canvas.height = Math.round(imageHeight * side / most);
  regroup();
  const shown = state.persons.filter(person => person.shown).length;
  const weak = state.persons.length - shown;
  if (shown + weak) say(`${shown} person${shown === 1 ? '' : 's'}${weak ? `, ${weak} weak ones hidden` : ''}.`
    + ' Click one, or where nobody was found.');
};
picture.src = data.image;
