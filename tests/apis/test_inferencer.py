"""Images in; pictures, attention and COCO results out."""
import json
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from inferring import (SIZES, TINY, check_persons, checkpoint, images,
                       inferencer, nobody)
from mmengine.structures import InstanceData

import mmpose_ssa
from mmpose_ssa.apis.inferencer import SSAInferencer, _above
from mmpose_ssa.apis.visualizer import side_by_side

__all__ = ['checkpoint', 'images', 'inferencer', 'nobody']
pytestmark = pytest.mark.usefixtures('mmpose')


def test_results_come_image_by_image(inferencer, images, tmp_path):
    array = cv2.imread(images[0])
    iterator = inferencer([images[1], array, Path(images[2])],
                          return_vis=True, kpt_thr=0., draw_thr=0.)
    results = list(iterator)
    assert [r['path'] for r in results] == [images[1], None, images[2]]
    assert list(tmp_path.iterdir()) == []
    for result, name in zip(results, ('tall.png', '7.png', 'dot.png')):
        assert result['visualization'].shape == (*SIZES[name], 3)
    sample = inferencer.infer(array)
    check_persons(results[1]['predictions'], sample, SIZES['7.png'])
    assert np.array_equal(results[1]['visualization'],
                          inferencer.draw_persons(array, sample, 0.))
    for person in results[1]['predictions']:
        assert person['image_id'] == 1 and 'file_name' not in person
    for person in results[0]['predictions']:
        assert (person['image_id'], person['file_name']) == (
            'tall', 'tall.png')
    plain, = inferencer(array)
    assert plain == dict(path=None, predictions=[
        dict(person, image_id=0) for person in results[1]['predictions']])


def test_persons_of_low_scores_are_left_out(inferencer, images):
    everything = [person for result in inferencer(images)
                  for person in result['predictions']]
    scores = sorted(person['score'] for person in everything)
    middle = scores[len(scores) // 2]
    some = [person for result in inferencer(images, person_thr=middle)
            for person in result['predictions']]
    assert some == [p for p in everything if p['score'] >= middle]
    assert 0 < len(some) < len(scores)
    none, = inferencer(images[0], person_thr=scores[-1] * 1.01,
                       return_vis=True)
    assert none['predictions'] == []
    assert np.array_equal(none['visualization'], cv2.imread(images[0]))


def test_image_ids_of_an_annotation_file(inferencer, images):
    ids = {Path(images[0]).name: 42}
    first, second = inferencer(images[:2], image_ids=ids, on_error='skip')
    assert {p['image_id'] for p in first['predictions']} == {42}
    assert 'tall.png is not an image of the annotation' in second['error']
    with pytest.raises(ValueError, match='tall.png is not an image'):
        list(inferencer(images[:2], image_ids=ids))


def test_who_hides_is_counted_among_those_who_are_left():
    found = InstanceData(
        keypoints=np.zeros((3, 2, 2)), keypoint_scores=np.ones((3, 2)),
        bbox_scores=np.array([.9, .1, .5]),
        keypoints_hidden_by=np.array([[1, 2], [0, -1], [0, 1]]))
    some = _above(found, .3)
    assert some.bbox_scores.tolist() == [.9, .5]
    assert some.keypoints_hidden_by.tolist() == [[-1, 1], [0, -1]]
    assert found.keypoints_hidden_by.tolist() == [[1, 2], [0, -1], [0, 1]]


def test_a_damaged_image_is_skipped_on_demand(inferencer, images, tmp_path):
    bad = tmp_path / 'bad.png'
    bad.write_text('no image')
    first, none, last = inferencer([images[0], bad, images[1]],
                                   on_error='skip', out_dir=tmp_path / 'out')
    assert none['path'] == str(bad) and none['predictions'] == []
    assert 'bad.png cannot be read' in none['error']
    kept = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert kept == first['predictions'] + last['predictions']
    assert not list(tmp_path.glob('out/bad*'))
    with pytest.raises(ValueError, match="on_error.*'ignore'"):
        inferencer(images, on_error='ignore')


def test_an_array_of_a_wrong_shape_costs_no_image_of_its_batch(
        inferencer, images, tmp_path):
    grey = np.zeros((40, 40), np.uint8)
    inputs = [cv2.imread(images[0]), grey]
    found = inferencer(inputs, batch_size=2, out_dir=tmp_path)
    first = next(found)
    with pytest.raises(TypeError, match=r'\(40, 40\)'):
        next(found)
    assert json.loads((tmp_path / 'predictions.json').read_text()) == \
        first['predictions'] != []
    _, none = inferencer(inputs, batch_size=2, on_error='skip')
    assert '(40, 40)' in none['error']


def test_ids_and_crosses_as_the_config_says(inferencer):
    assert inferencer.track_options.birth_thr == .2
    assert not inferencer.draw_hidden
    photos = SSAInferencer(
        device='cpu', cfg_options={'visualizer.draw_hidden': True})
    assert photos.track_options.birth_thr == .1 and photos.draw_hidden


def test_what_is_done_is_kept_where_it_stops(inferencer, images, tmp_path):
    (tmp_path / 'bad.png').write_text('no image')
    iterator = inferencer([images[0], tmp_path / 'bad.png', images[1]],
                          out_dir=tmp_path / 'out')
    first = next(iterator)
    with pytest.raises(ValueError, match='bad.png cannot be read'):
        next(iterator)
    kept = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert kept == first['predictions'] and kept


def test_the_bundled_model_finds_people(tmp_path, monkeypatch, inferencer):
    """From any folder, without an argument; here on those of its own kind."""
    from factories import write_scenes
    scenes = write_scenes(tmp_path, train=1, val=3, size=160, max_people=2)
    monkeypatch.chdir(tmp_path)
    found = mmpose_ssa.SSAInferencer('demo')
    cuda = torch.cuda.is_available()
    assert next(found.model.parameters()).is_cuda == cuda
    truth = json.loads((
        scenes / 'annotations/person_keypoints_val2017.json').read_text())
    people = truth['annotations']
    results = [person for result in found('val2017')
               for person in result['predictions'] if person['score'] > .3]
    ious = [max((coco_mask.iou([r['segmentation']], [coco_mask.merge(
        coco_mask.frPyObjects(ann['segmentation'], 160, 160))], [0])[0, 0]
        for r in results if r['image_id'] == ann['image_id']), default=0)
        for ann in people]
    assert np.mean(np.array(ious) > .5) > .5


def test_the_bundled_model_for_photos_is_the_first_choice(images):
    found = mmpose_ssa.SSAInferencer(device='cpu')
    assert found.model.cfg.filename.endswith('ssa_photos.py')
    result, = found(images[0])
    assert result['path'] == images[0]


def test_a_batch_gives_what_single_images_give(tmp_path):
    """Images of several sizes, and one that cannot be read, in order."""
    from factories import write_scenes
    files = []
    for size in (160, 200):
        scenes = write_scenes(tmp_path / str(size), train=1, val=3, size=size,
                              max_people=3)
        files += sorted(map(str, scenes.glob('val2017/*')))
    bad = tmp_path / 'bad.png'
    bad.write_text('no image')
    inputs = [files[0], files[3], str(bad), *files[1:]]
    found = SSAInferencer('demo', device='cpu')
    alone = list(found(inputs, on_error='skip'))
    together = list(found(inputs, on_error='skip', batch_size=3))
    assert [r['path'] for r in together] == inputs
    assert sum(len(r['predictions']) for r in together) > 4
    for one, other in zip(alone, together):
        assert one.get('error') == other.get('error')
        assert len(one['predictions']) == len(other['predictions'])
        for p, q in zip(one['predictions'], other['predictions']):
            for key in ('keypoints', 'score', 'bbox'):
                assert p[key] == pytest.approx(q[key], abs=1e-3)
            for key in ('keypoints_filled', 'keypoints_hidden_by', 'image_id'):
                assert p[key] == q[key]
            assert coco_mask.iou([p['segmentation']], [q['segmentation']],
                                 [0])[0, 0] > .99
    with pytest.raises(ValueError, match='batch_size.*0'):
        found(files, batch_size=0)


def test_what_was_read_before_a_damaged_image_is_kept(inferencer, images,
                                                      tmp_path):
    (tmp_path / 'bad.png').write_text('no image')
    iterator = inferencer([images[0], tmp_path / 'bad.png', images[1]],
                          batch_size=3, out_dir=tmp_path / 'out')
    first = next(iterator)
    with pytest.raises(ValueError, match='bad.png cannot be read'):
        next(iterator)
    kept = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert kept == first['predictions'] and kept


def test_it_is_one_of_mmposes_inferencers(inferencer, images):
    from mmpose.apis import Pose2DInferencer
    assert isinstance(inferencer, Pose2DInferencer)
    result, = inferencer(images[0], return_datasamples=True)
    sample = inferencer.infer(cv2.imread(images[0]))
    assert np.array_equal(result['sample'].pred_instances.keypoints,
                          sample.pred_instances.keypoints)


def test_images_without_people(tmp_path, images, nobody):
    inferencer = SSAInferencer(TINY, nobody, 'cpu')
    result, = inferencer(images[0], out_dir=tmp_path)
    assert result == dict(path=images[0], predictions=[])
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []
    assert (tmp_path / '7_persons.jpg').is_file()
    assert not (tmp_path / '7_attention.jpg').exists()
    image = cv2.imread(images[0])
    sample = inferencer.infer(image)
    drawn = inferencer.draw_persons(image, sample, 0.)
    assert np.array_equal(drawn, image)
    assert np.array_equal(inferencer.draw_attention(image, sample, drawn),
                          side_by_side([image], ['persons']))


def test_the_pictures_show_what_was_found(inferencer, images):
    image = cv2.imread(images[0])
    sample = inferencer.infer(image)
    found = sample.pred_instances
    # Rows of a softmax over 8 x 15 tokens (50 x 91 pixels become 64 x 120)
    attention = found.keypoint_attention
    assert attention.shape == (len(found.masks), 17, 8, 15)
    missing = found.keypoint_scores == 0
    assert missing.any() and not missing.all()
    assert attention.sum((2, 3)) == pytest.approx(
        (~missing).astype(float), abs=1e-5)
    persons = inferencer.draw_persons(image, sample, kpt_thr=0.)
    union = np.any([coco_mask.decode(rle) for rle in found.masks], axis=0)
    assert (persons != image).any(axis=2)[union].mean() > .9
    hidden = inferencer.draw_persons(image, sample, kpt_thr=1e9)
    assert np.array_equal(hidden, image)
    panels = 1 + min(4, (~missing).sum())
    drawn = inferencer.draw_attention(image, sample, persons)
    assert drawn.shape[1] == panels * (round(91 * 360 / 50) + 6)


def test_the_public_name_is_lazy_and_listed():
    assert 'SSAInferencer' in dir(mmpose_ssa)
    assert mmpose_ssa.SSAInferencer is SSAInferencer
    with pytest.raises(AttributeError, match='nonsense'):
        mmpose_ssa.nonsense  # noqa: B018


# --- what it refuses --------------------------------------------------------


def test_missing_files_are_named(inferencer, images, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist'):
        SSAInferencer(TINY, 'no.pth', 'cpu')
    with pytest.raises(FileNotFoundError, match=r'no\.py'):
        SSAInferencer('no.py', images[0], 'cpu')
    for given in ('no.jpg', str(tmp_path / '*.jpg'), [images[0], 'no.jpg']):
        with pytest.raises(FileNotFoundError, match=r'\.jpg.* exist.* folder'):
            inferencer(given)


@pytest.mark.parametrize('inputs, error, words', [
    ([], ValueError, 'no image given'),
    ([3], TypeError, '3 is a int: .*path.*array'),
    ([None], TypeError, 'None is a NoneType'),
    (None, TypeError, 'None is a NoneType'),
])
def test_what_is_no_image(inferencer, inputs, error, words):
    with pytest.raises(error, match=words):
        inferencer(inputs)


def test_an_empty_folder(inferencer, tmp_path):
    with pytest.raises(ValueError, match=r'has no images .*\*\.png'):
        inferencer(tmp_path)
