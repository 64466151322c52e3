/* From heatmaps and attention to persons: mmpose_ssa/decoding in the browser.
 *
 * The names are those of the Python modules; tests compare the two on the same
 * model. Maps are Float32Arrays over the L = h * w tokens, in rows.
 */
'use strict';

const MISSING = -1;

/** Attention of one token to all: softmax(q k^T / sqrt(d)), mean of the heads.
 *  layer: {q, k, heads, d}, q and k of (heads, L, d). */
function attentionRow(layer, token, length) {
  const {q, k, heads, d} = layer;
  const mean = new Float32Array(length), row = new Float64Array(length);
  for (let head = 0; head < heads; head++) {
    const start = head * length * d, root = Math.sqrt(d);
    const own = Float64Array.from(q.subarray(start + token * d, start + (token + 1) * d));
    let highest = -Infinity, sum = 0;
    for (let t = 0, other = start; t < length; t++, other += d) {
      let product = 0;
      for (let i = 0; i < d; i++) product += own[i] * k[other + i];
      row[t] = product / root;
      if (row[t] > highest) highest = row[t];
    }
    for (let t = 0; t < length; t++) sum += row[t] = Math.exp(row[t] - highest);
    for (let t = 0; t < length; t++) mean[t] += row[t] / sum / heads;
  }
  return mean;
}

/** Indices from the highest score to the lowest; ties as they stand. */
function descending(scores) {
  return Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
}

/** Rows and columns of largest total gain (Hungarian algorithm).
 *  gain: rows of equal length. Returns for each row its column, or -1. */
function assign(gain) {
  const rows = gain.length, columns = rows ? gain[0].length : 0;
  if (!rows || !columns) return new Array(rows).fill(MISSING);
  if (rows > columns) {  // the short side is matched completely
    const turned = assign(gain[0].map((_, c) => gain.map(row => row[c])));
    const result = new Array(rows).fill(MISSING);
    turned.forEach((row, column) => { result[row] = column; });
    return result;
  }
  const u = new Float64Array(rows + 1), v = new Float64Array(columns + 1);
  const owner = new Int32Array(columns + 1), way = new Int32Array(columns + 1);
  for (let row = 1; row <= rows; row++) {
    owner[0] = row;
    const least = new Float64Array(columns + 1).fill(Infinity);
    const used = new Uint8Array(columns + 1);
    let column = 0;
    do {
      used[column] = 1;
      let delta = Infinity, next = 0;
      for (let c = 1; c <= columns; c++) {
        if (used[c]) continue;
        const cost = -gain[owner[column] - 1][c - 1] - u[owner[column]] - v[c];
        if (cost < least[c]) { least[c] = cost; way[c] = column; }
        if (least[c] < delta) { delta = least[c]; next = c; }
      }
      for (let c = 0; c <= columns; c++) {
        if (used[c]) { u[owner[c]] += delta; v[c] -= delta; } else least[c] -= delta;
      }
      column = next;
    } while (owner[column]);
    while (column) { owner[column] = owner[way[column]]; column = way[column]; }
  }
  const result = new Array(rows).fill(MISSING);
  for (let c = 1; c <= columns; c++) if (owner[c]) result[owner[c] - 1] = c - 1;
  return result;
}

/** Section 2.4, part-first. candidates: {types, scores, tokens}; rows: of each.
 *  Returns persons, arrays of K candidate indices or -1. */
function groupPartFirst(candidates, rows, options) {
  const {types, scores, tokens} = candidates, count = types.length;
  const ranked = descending(scores);
  const persons = [], sums = [], sizes = [];
  for (const kind of options.order) {
    const here = ranked.filter(c => types[c] === kind);
    // Eq. (5): how much a candidate attends to a skeleton's members
    const attraction = here.map(c => sums.map((sum, s) => sum[c] / sizes[s]));
    const gain = attraction.map((row, i) => options.matching === 'score_attraction'
      ? row.map(value => value * scores[here[i]]) : row);
    const joined = assign(gain);
    here.forEach((candidate, i) => {
      let s = persons.length && joined[i] >= 0 ? joined[i] : MISSING;
      if (s !== MISSING && attraction[i][s] < options.attraction_threshold) s = MISSING;
      if (s === MISSING) {
        s = persons.length;
        persons.push(new Array(options.num_keypoints).fill(MISSING));
        sums.push(new Float64Array(count));
        sizes.push(0);
      }
      persons[s][kind] = candidate;
      sizes[s]++;
      for (let c = 0; c < count; c++) {
        sums[s][c] += scores[candidate] * rows[c][tokens[candidate]];
      }
    });
  }
  return persons;
}

/** Sum of the keypoint scores / K. */
function instanceScore(person, scores) {
  return person.reduce((sum, c) => sum + (c >= 0 ? scores[c] : 0), 0) / person.length;
}

/** What a person's score is multiplied by: its share of the image, to a power. */
function sizeFactor(map, model) {
  const {options, contentCells: [x0, y0, x1, y1]} = model;
  const covered = map.reduce((sum, value) => sum + (value > options.mask_threshold), 0)
    * (options.token_stride / options.heatmap_stride) ** 2;
  return Math.min(covered / ((x1 - x0) * (y1 - y0)), 1) ** options.size_exponent;
}

/** Mean attention of a person's keypoints over its maximum, section 2.5. */
function personMap(person, rows) {
  const members = person.filter(c => c >= 0);
  const map = new Float32Array(rows[members[0]].length);
  for (const c of members) for (let t = 0; t < map.length; t++) map[t] += rows[c][t];
  return overMaximum(map);
}

function overMaximum(map) {
  let highest = 0;
  for (const value of map) if (value > highest) highest = value;
  return map.map(value => value / highest);
}

/** Persons whose token masks overlap become one, section 2.5. */
function mergePersons(persons, scores, rows, options) {
  const order = descending(persons.map(person => instanceScore(person, scores)));
  persons = order.map(i => persons[i]);
  const masks = persons.map(person =>
    personMap(person, rows).map(value => value > options.mask_threshold ? 1 : 0));
  const areas = masks.map(mask => mask.reduce((a, b) => a + b, 0));
  const into = persons.map((_, i) => i), kept = [];
  persons.forEach((person, i) => {
    let best = MISSING, most = 0;
    for (const j of kept) {
      let common = 0;
      for (let t = 0; t < masks[i].length; t++) common += masks[i][t] & masks[j][t];
      const overlap = common / Math.max(areas[i], areas[j]);
      if (overlap > most) { most = overlap; best = j; }
    }
    if (most > options.merge_threshold) into[i] = best; else kept.push(i);
  });
  return kept.map(i => combine(persons.filter((_, j) => into[j] === i), scores));
}

/** Per type the candidate of highest score; the first person wins ties. */
function combine(persons, scores) {
  return persons[0].map((_, kind) => persons.map(person => person[kind]).reduce(
    (best, c) => c >= 0 && (best < 0 || scores[c] > scores[best]) ? c : best));
}

/** Weights of bilinear resizing with half-pixel centres along one axis:
 *  for each of `size` cells the left token and the share of the right one. */
function weights(size, n) {
  return Array.from({length: size}, (_, i) => {
    const at = Math.min(Math.max((i + 0.5) * n / size - 0.5, 0), n - 1);
    const left = Math.min(Math.floor(at), Math.max(n - 2, 0));
    return [left, Math.min(left + 1, n - 1), at - left];
  });
}

/** A map (h, w) resized to (height, width). */
function resizeMap(map, [h, w], [height, width]) {
  const rows = weights(height, h), columns = weights(width, w);
  const result = new Float32Array(height * width);
  rows.forEach(([y0, y1, b], y) => columns.forEach(([x0, x1, a], x) => {
    const top = map[y0 * w + x0] * (1 - a) + map[y0 * w + x1] * a;
    const bottom = map[y1 * w + x0] * (1 - a) + map[y1 * w + x1] * a;
    result[y * width + x] = top * (1 - b) + bottom * b;
  }));
  return result;
}

/** The best heatmap cell of each missing type on the person's map. */
function fillMissing(person, map, model) {
  const {heatmaps, options, grid, heatmapSize: [height, width]} = model;
  const [x0, y0, x1, y1] = model.contentCells;
  const fine = resizeMap(map, grid, [height, width]), filled = {};
  person.forEach((candidate, kind) => {
    if (candidate >= 0) return;
    let best = MISSING, highest = options.fill_threshold;
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) {
      const cell = y * width + x;
      if (fine[cell] <= options.fill_map_threshold) continue;
      const value = heatmaps[kind * height * width + cell];
      if (value > highest) { highest = value; best = cell; }
    }
    if (best >= 0) filled[kind] = {point: locate(model, kind, best), score: highest};
  });
  return filled;
}

/** A cell in input pixels, refined by its neighbours' values. */
function locate(model, kind, cell) {
  const {heatmaps, options, heatmapSize: [height, width]} = model;
  const x = cell % width, y = Math.floor(cell / width);
  const at = (dx, dy) => x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height
    ? NaN : heatmaps[kind * height * width + (y + dy) * width + x + dx];
  const [dx, dy] = !options.refine_location ? [0, 0]
    : options.unbiased ? taylorOffset(at) : quarterOffset(at);
  return [(x + dx) * options.heatmap_stride, (y + dy) * options.heatmap_stride];
}

/** A quarter of a cell toward the higher neighbour, along each axis. */
function quarterOffset(at) {
  return [at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)].map(slope => 0.25 * Math.sign(slope || 0));
}

/** Maximum of the second-order expansion of the log heatmap (DARK). */
function taylorOffset(at) {
  const log = (dx, dy) => Math.log(Math.max(at(dx, dy), 1e-10)), middle = log(0, 0);
  const gx = 0.5 * (log(1, 0) - log(-1, 0)), gy = 0.5 * (log(0, 1) - log(0, -1));
  const xx = log(1, 0) - 2 * middle + log(-1, 0), yy = log(0, 1) - 2 * middle + log(0, -1);
  const xy = 0.25 * (log(1, 1) - log(-1, 1) - log(1, -1) + log(-1, -1));
  const det = xx * yy - xy * xy;
  const offset = [-(yy * gx - xy * gy) / det, -(xx * gy - xy * gx) / det];
  const holds = det > 0 && xx < 0 && offset.every(value => Math.abs(value) <= 1);
  return holds ? offset : [0, 0];
}

/** A person of given candidates, with map, score, points and filled ones. */
function describe(person, rows, model, map = personMap(person, rows)) {
  const {candidates, options} = model;
  const filled = options.fill_missing ? fillMissing(person, map, model) : {};
  const points = person.map((c, kind) => c >= 0
    ? {point: candidates.points[c], score: candidates.scores[c], filled: false}
    : kind in filled ? {...filled[kind], filled: true} : null);
  const score = instanceScore(person, candidates.scores) * sizeFactor(map, model);
  return {candidates: person, map, points, score};
}

/** Sections 2.4 and 2.5: the candidates above t, grouped and merged. */
function decode(model, rowOf) {
  const {options} = model, all = model.candidates;
  const chosen = descending(all.scores).filter(c => all.scores[c] > options.score_threshold)
    .sort((a, b) => a - b);
  const some = {};
  for (const name of ['types', 'scores', 'tokens']) some[name] = chosen.map(c => all[name][c]);
  const rows = chosen.map(rowOf);
  const persons = mergePersons(groupPartFirst(some, rows, options), some.scores, rows, options);
  const rowsOfAll = {};
  chosen.forEach((c, i) => { rowsOfAll[c] = rows[i]; });
  const described = persons.map(person =>
    describe(person.map(c => c >= 0 ? chosen[c] : MISSING), rowsOfAll, model));
  return descending(described.map(person => person.score))
    .slice(0, options.max_persons).map(i => described[i]);
}

/** The person at a token: its mask from the token's own row, its skeleton of
 *  the best candidate of each type inside the mask. */
function personAt(token, row, rowOf, model) {
  const map = overMaximum(row), {candidates, options} = model;
  const person = new Array(options.num_keypoints).fill(MISSING);
  candidates.types.forEach((kind, c) => {
    if (candidates.scores[c] <= options.score_threshold) return;
    if (map[candidates.tokens[c]] <= options.mask_threshold) return;
    if (person[kind] < 0 || candidates.scores[c] > candidates.scores[person[kind]]) {
      person[kind] = c;
    }
  });
  return describe(person, null, model, map);
}

/** Attraction of a candidate to a person, itself left out; Eq. (5). */
function attractionTo(candidate, person, rowOf, candidates) {
  const members = person.filter(c => c >= 0 && c !== candidate);
  if (!members.length) return 0;
  const row = rowOf(candidate);
  return members.reduce((sum, f) => sum + candidates.scores[f] * row[candidates.tokens[f]], 0)
    / members.length;
}

/** Two persons of one: the two members that attend to each other least, and
 *  with each the members that attend more to it. */
function splitPerson(person, rowOf, candidates) {
  const members = person.filter(c => c >= 0);
  const mutual = (a, b) => rowOf(a)[candidates.tokens[b]] + rowOf(b)[candidates.tokens[a]];
  let ends = null, least = Infinity;
  members.forEach((a, i) => members.slice(i + 1).forEach(b => {
    if (mutual(a, b) < least) { least = mutual(a, b); ends = [a, b]; }
  }));
  if (!ends) return [person];
  const side = c => c === ends[0] || (c !== ends[1] && mutual(c, ends[0]) >= mutual(c, ends[1]));
  return [true, false].map(first =>
    person.map(c => c >= 0 && side(c) === first ? c : MISSING));
}
