/* What the model computed, unpacked, and where its tokens are. */
'use strict';

const $ = id => document.getElementById(id);
const data = JSON.parse($('data').textContent);

/** Numbers from text: base64 of deflated whole numbers, first all low bytes,
 *  then all high ones. */
async function numbers({bits, scale, content}) {
  const text = atob(content), packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const raw = await new Response(stream).arrayBuffer();
  const wide = bits > 8, count = raw.byteLength / (wide ? 2 : 1);
  const low = wide ? new Uint8Array(raw) : new Int8Array(raw), high = new Int8Array(raw, wide ? count : 0);
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) result[i] = scale * (wide ? high[i] * 256 + low[i] : low[i]);
  return result;
}

const [gridHeight, gridWidth] = data.grid;
const length = gridHeight * gridWidth;
const model = {
  options: {...data.options}, candidates: data.candidates, grid: data.grid,
  heatmapSize: data.heatmap_size, contentCells: data.content_cells, heatmaps: null,
};
const layers = data.layers.map(layer => ({...layer, unpacked: null, rows: new Map()}));

/** Unpack queries and keys of a layer, before rowAt is asked for its rows. */
async function unpack(index) {
  const layer = layers[index];
  if (layer.unpacked) return;
  const [q, k] = await Promise.all([numbers(layer.q), numbers(layer.k)]);
  layer.unpacked = {heads: layer.heads, d: layer.d, q, k};
}

/** Attention of a token in an unpacked layer; kept, as it is asked for often. */
function rowAt(index, token) {
  const {rows, unpacked} = layers[index];
  if (!rows.has(token)) rows.set(token, attentionRow(unpacked, token, length));
  return rows.get(token);
}
const rowOf = candidate => rowAt(data.supervised, model.candidates.tokens[candidate]);

const [imageWidth, imageHeight] = data.image_size;
const toInput = ([x, y]) => [x * data.scale[0] + data.offset[0], y * data.scale[1] + data.offset[1]];
const toImage = ([x, y]) => [(x - data.offset[0]) / data.scale[0], (y - data.offset[1]) / data.scale[1]];

function tokenAt(pointImage) {
  const [x, y] = toInput(pointImage).map(value => Math.floor(value / model.options.token_stride));
  return Math.min(Math.max(y, 0), gridHeight - 1) * gridWidth + Math.min(Math.max(x, 0), gridWidth - 1);
}
