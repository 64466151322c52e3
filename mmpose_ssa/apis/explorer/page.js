/* What the user does, and the start. */
'use strict';

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
  soon();
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
};
canvas.onpointercancel = () => { dragged = null; };
canvas.onpointerleave = event => {  // a lifted finger leaves its point behind
  if (event.pointerType !== 'touch') { state.pointer = null; soon(); }
};

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
$('layer').onchange = async () => {
  const layer = Number($('layer').value);
  await unpack(layer);
  state.layer = layer;
  soon();
};

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

async function start() {
  model.heatmaps = await numbers(data.heatmaps);
  await unpack(data.supervised);
  picture.src = data.image;
  await picture.decode();
  const most = Math.max(imageWidth, imageHeight), side = Math.min(Math.max(most, 640), 1280);
  canvas.width = Math.round(imageWidth * side / most);
  canvas.height = Math.round(imageHeight * side / most);
  regroup();
  const shown = state.persons.filter(person => person.shown).length;
  const weak = state.persons.length - shown;
  if (shown + weak) say(`${shown} person${shown === 1 ? '' : 's'}${weak ? `, ${weak} weak ones hidden` : ''}.`
    + ' Click one, or where nobody was found.');
  document.body.dataset.ready = 'yes';
}
start();
