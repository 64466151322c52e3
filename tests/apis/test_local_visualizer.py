"""MMPose's visualizer and inferencers with our masks."""
import cv2
import mmcv
import numpy as np
import pycocotools.mask as coco_mask
import pytest
from factories import CONFIGS
from inferring import TINY, checkpoint, images, inferencer
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample

from mmpose_ssa.apis.local_visualizer import (SSAVisualizer, _labels,
                                              draw_instances)
from mmpose_ssa.apis.mmpose_results import split_instances
from mmpose_ssa.apis.visualizer import (Marks, Skeleton, draw_persons,
                                        person_colors)

__all__ = ['checkpoint', 'images', 'inferencer']
pytestmark = pytest.mark.usefixtures('mmpose')

META = dict(
    keypoint_id2name={0: 'a', 1: 'b'}, skeleton_links=[(0, 1)],
    keypoint_colors=np.array([[255, 0, 0], [0, 0, 255]]),
    skeleton_link_colors=np.array([[0, 255, 0]]))


def two_persons():
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 5:55, 5:25] = masks[1, 5:55, 50:75] = 1
    return InstanceData(
        keypoints=np.array([[[10, 20], [20, 50]], [[60, 20], [70, 50.]]]),
        keypoint_scores=np.array([[.9, .8], [.7, .6]]),
        keypoints_filled=np.array([[False, True], [False, False]]),
        keypoints_hidden_by=np.array([[-1, -1], [0, -1]]),
        bbox_scores=np.array([.8, .6]), track_ids=np.array([4, 2]),
        bboxes=np.array([[10., 20, 20, 50], [60, 20, 70, 50]]),
        masks=[coco_mask.encode(np.asfortranarray(m)) for m in masks])


def test_everything_known_is_drawn():
    image, persons = np.full((60, 80, 3), 100, np.uint8), two_persons()
    drawn = draw_instances(
        image, persons, Skeleton.from_meta(META), .1, draw_hidden=True)
    masks = [coco_mask.decode(rle) for rle in persons.masks]
    marks = Marks(persons.keypoints_filled,
                  np.array([[False, False], [True, False]]), [4, 2],
                  ['#4 0.80', '#2 0.60'])
    assert np.array_equal(
        drawn, draw_persons(image, persons.keypoints,
                            persons.keypoint_scores, masks,
                            Skeleton.from_meta(META), .1, marks))


def test_hidden_keypoints_are_crosses_on_request_only():
    image, persons = np.full((60, 80, 3), 100, np.uint8), two_persons()
    visible = persons.clone()
    visible.keypoints_hidden_by = np.full((2, 2), -1)
    pictures = {}
    for asked in (False, True):
        visualizer = SSAVisualizer(draw_hidden=asked)
        visualizer.set_dataset_meta(META)
        pictures[asked] = [
            visualizer._draw_instances_kpts(image, found, .1)
            for found in (persons, visible)]
    assert np.array_equal(*pictures[False])
    assert not np.array_equal(*pictures[True])
    assert np.array_equal(pictures[False][0], pictures[True][1])


def test_persons_without_an_id_have_no_number():
    assert _labels([4, -1], np.array([.8, .6])) == ['#4 0.80', '0.60']
    assert _labels([4, -1], None) == ['#4', '']


@pytest.mark.parametrize('ids', [(3, -1), (-1, -1)])
def test_persons_without_an_id_are_grey(ids):
    persons = two_persons()
    persons.track_ids = np.array(ids)
    visualizer = SSAVisualizer()
    visualizer.set_dataset_meta(META)
    boxes = visualizer._draw_instances_bbox(
        np.zeros((60, 80, 3), np.uint8), persons)
    expected = [person_colors(4)[3] if i == 3 else (160, 160, 160)
                for i in ids]
    assert np.array_equal(boxes[35, [10, 70], ::-1], expected)
    # masks, skeletons and scores, too
    drawn = draw_instances(np.zeros((60, 80, 3), np.uint8), persons,
                           Skeleton.from_meta(META), .1)
    blue, green, red = drawn[52, 60].astype(int)  # in the second one's mask
    assert blue == green == red > 0


def test_the_visualizer_draws_rgb_as_the_inferencer_bgr():
    visualizer = VISUALIZERS.build(dict(type='SSAVisualizer', name='rgb'))
    assert isinstance(visualizer, SSAVisualizer)
    visualizer.set_dataset_meta(META)
    rgb = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    persons = two_persons()
    visualizer.add_datasample('x', rgb, PoseDataSample(
        pred_instances=persons), draw_gt=False, kpt_thr=.1)
    expected = draw_instances(rgb[..., ::-1], persons,
                              Skeleton.from_meta(META), .1)
    assert np.array_equal(visualizer.get_image()[..., ::-1], expected)


def test_persons_of_low_scores_are_not_drawn():
    image, persons = np.full((60, 80, 3), 100, np.uint8), two_persons()
    skeleton = Skeleton.from_meta(META)
    drawn = draw_instances(image, persons, skeleton, .1, draw_thr=.7)
    assert np.array_equal(drawn, draw_instances(
        image, persons[np.array([0])], skeleton, .1))
    visualizer = SSAVisualizer(draw_thr=.7)
    visualizer.set_dataset_meta(META)
    assert np.array_equal(
        visualizer._draw_instances_kpts(image, persons, .1)[..., ::-1], drawn)
    boxes = visualizer._draw_instances_bbox(image, persons)
    assert (boxes[:, 45:] == 100).all() and (boxes[:, :45] != 100).any()


def test_boxes_have_the_colours_of_their_persons():
    visualizer = SSAVisualizer()
    visualizer.set_dataset_meta(META)
    drawn = visualizer._draw_instances_bbox(
        np.zeros((60, 80, 3), np.uint8), two_persons())
    first, second = person_colors(5)[[4, 2]]
    assert tuple(drawn[35, 10, ::-1]) == tuple(first)
    assert tuple(drawn[35, 70, ::-1]) == tuple(second)
    assert (drawn[25:45, 15] == 0).all()


def test_annotated_persons_have_visibilities_and_no_masks():
    visualizer = SSAVisualizer()
    visualizer.set_dataset_meta(META)
    image = np.full((60, 80, 3), 100, np.uint8)
    persons = InstanceData(
        keypoints=np.array([[[10, 20], [20, 50.]]]),
        keypoints_visible=np.array([[2., 0]]))
    drawn = visualizer._draw_instances_kpts(image, persons)
    assert tuple(drawn[20, 10]) == (255, 0, 0)
    assert (drawn[45:, 15:] == 100).all()
    persons.transformed_keypoints = persons.keypoints + [30, 0]
    moved = visualizer._draw_instances_kpts(image, persons)
    assert tuple(moved[20, 40]) == (255, 0, 0)
    assert tuple(moved[20, 10]) == (100, 100, 100)


def test_without_metainfo_it_draws_as_mmpose():
    persons = two_persons()
    drawn = SSAVisualizer()._draw_instances_kpts(
        np.full((60, 80, 3), 100, np.uint8), persons)
    assert (drawn[50, 20] != 100).any() and (drawn[8, 8] == 100).all()


@pytest.mark.parametrize('config', [
    'ssa/ssa_r101_640.py', 'demo/ssa_demo.py', 'comparisons/ae_demo.py',
    'comparisons/dekr_demo.py'])
def test_our_configs_draw_by_it(config):
    cfg = Config.fromfile(CONFIGS / config)
    assert cfg.visualizer.type == 'SSAVisualizer'
    assert cfg.visualizer.name == 'visualizer'


# --- MMPose's own inferencer ------------------------------------------------


def test_mmposes_inferencer_gives_the_same_with_masks(inferencer, images,
                                                      checkpoint, tmp_path):
    from mmpose.apis import MMPoseInferencer
    theirs = MMPoseInferencer(pose2d=TINY, pose2d_weights=checkpoint,
                              device='cpu')
    theirs.inferencer.visualizer.draw_thr = 0.
    image = cv2.imread(images[0])
    result, = theirs(images[0], return_vis=True, kpt_thr=0.,
                     out_dir=str(tmp_path))
    persons, = result['predictions']
    found = inferencer.infer(image).pred_instances
    assert len(persons) == len(found.masks) > 0
    for p, person in enumerate(persons):
        assert person['keypoints'] == found.keypoints[p].tolist()
        assert person['mask'] == found.masks[p]
        assert person['keypoints_hidden_by'] == \
            found.keypoints_hidden_by[p].tolist()
        assert person['keypoints_filled'] == \
            found.keypoints_filled[p].tolist()
    expected = draw_instances(image, found, inferencer.skeleton, 0.)
    drawn = mmcv.rgb2bgr(result['visualization'][0])
    union = np.any([coco_mask.decode(rle) for rle in found.masks], axis=0)
    assert (drawn != image).any(axis=2)[union].mean() > .9
    assert np.abs(drawn.astype(int) - expected).mean() < 3
    assert list(tmp_path.glob('predictions/*.json'))


def test_other_models_results_do_not_change():
    persons = two_persons()
    plain = InstanceData(keypoints=persons.keypoints,
                         keypoint_scores=persons.keypoint_scores)
    assert split_instances(plain) == [
        dict(keypoints=k.tolist(), keypoint_scores=s.tolist())
        for k, s in zip(persons.keypoints, persons.keypoint_scores)]
    assert split_instances(None) == []
    first, second = split_instances(persons)
    assert (first['track_id'], second['track_id']) == (4, 2)
    assert second['keypoints_hidden_by'] == [0, -1]
    assert first['keypoints_filled'] == [False, True]
