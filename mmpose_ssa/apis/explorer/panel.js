/* The list of persons, and why each keypoint joined. */
'use strict';

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
  const person = state.persons[state.chosen], body = $('why-table').tBodies[0];
  $('why').hidden = !person;
  $('why-hint').hidden = Boolean(person);
  if (!person) return;
  const cell = (kind, textContent, className = '') =>
    Object.assign(document.createElement(kind), {textContent, className});
  const row = (...cells) => {
    const line = document.createElement('tr');
    line.append(...cells);
    return line;
  };
  const own = i => i === state.chosen ? 'own' : '';
  $('why-table').tHead.replaceChildren(row(
    cell('th', 'keypoint'), cell('th', 'score'), cell('th', 'margin'),
    ...state.persons.map((other, i) => {
      const head = cell('th', i + 1, own(i));
      head.title = `Person ${i + 1}`;
      head.style.boxShadow = `inset 0 -3px ${css(other.color)}`;
      return head;
    })));
  const percent = value => value === null ? '–' : (100 * value).toFixed(2);
  body.replaceChildren(...explained(state.chosen).map(line => row(
    cell('td', line.name), cell('td', line.score.toFixed(2)),
    cell('td', percent(line.margin), line.margin !== null && line.margin < 0 ? 'doubtful' : ''),
    ...line.attractions.map((value, i) => cell('td', percent(value), own(i))))));
}

/** Of each candidate of a person: its attraction to every person, Eq. (5), and
 *  by how much that to its own exceeds the next best. */
function explained(index) {
  const person = state.persons[index];
  return person.candidates.flatMap((c, kind) => {
    if (c < 0) return [];
    const attractions = state.persons.map(
      other => attractionTo(c, other.candidates, rowOf, model.candidates));
    const others = attractions.filter((_, i) => i !== index);
    const margin = others.length ? attractions[index] - Math.max(...others) : null;
    return [{name: data.names[kind], score: model.candidates.scores[c], attractions, margin}];
  });
}
