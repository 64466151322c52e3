/* The persons, and what the user changes of them. */
'use strict';

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
