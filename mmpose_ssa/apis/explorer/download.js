/* The persons as COCO JSON. */
'use strict';

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
