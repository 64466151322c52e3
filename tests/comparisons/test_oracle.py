"""Perfect heatmaps and tags through the decoder and the metric of testing."""
import numpy as np
import oracle
import pytest
from factories import CONFIGS, save_weights, two_overlapping_persons
from mmengine.config import Config
from mmpose.registry import MODELS

from mmpose_ssa.comparisons.oracle import nearest_tags

pytestmark = pytest.mark.usefixtures('mmpose')

COMPARISONS = CONFIGS / 'comparisons'


def test_the_nearest_person_by_hand():
    """Of the second type only the second person has a keypoint."""
    indices = np.array([[[0, 1], [0, 0]], [[11, 1], [5, 1]]])
    assert nearest_tags(indices, (3, 4)).tolist() == [
        [[0, 0, 0, 2], [0, 0, 2, 2], [0, 2, 2, 2]], [[2] * 4] * 3]


def measure(name, ann_file, img_dir, *weights) -> dict:
    """What the command finds."""
    return oracle.measure(oracle.make_parser().parse_args([
        str(COMPARISONS / f'{name}.py'), *weights, '--ann-file',
        str(ann_file), '--img-dir', str(img_dir)]))


@pytest.mark.parametrize('name', ['ae_demo', 'higherhrnet_demo'])
def test_two_overlapping_persons_are_perfect(tmp_path, name):
    metrics, = measure(name, two_overlapping_persons(tmp_path),
                       tmp_path).values()
    assert metrics['coco/AP'] == pytest.approx(1)
    assert metrics['coco/AR'] == pytest.approx(1)


def test_weights_give_all_four_rows(tmp_path):
    """Perfect tags group what random heatmaps show, which is no person."""
    file = COMPARISONS / 'higherhrnet_demo.py'
    model = MODELS.build(Config.fromfile(file).model)
    results = measure(
        'higherhrnet_demo', two_overlapping_persons(tmp_path), tmp_path,
        save_weights(model, tmp_path / 'tags.pth'))
    found = {pair: metrics['coco/AP'] for pair, metrics in results.items()}
    assert found['own + own'] == found['own + perfect'] == 0
    assert found['perfect + own'] < .5  # random tags hold nobody together
    assert found['perfect + perfect'] == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize('name, keypoint_ap', [
    ('ae_overfit', .632), ('higherhrnet_overfit', .836),
    ('higherhrnet_w32_512', .963)])
def test_the_upper_bound_on_coco(coco_mini, name, keypoint_ap):
    metrics, = measure(
        name, coco_mini / 'annotations/person_keypoints_train2017.json',
        coco_mini / 'train2017').values()
    assert metrics['coco/AP'] == pytest.approx(keypoint_ap, abs=.005)


def test_other_models_have_no_upper_bound(tmp_path):
    with pytest.raises(ValueError, match='dekr_demo.py decodes by MaskedSPR'):
        measure('dekr_demo', two_overlapping_persons(tmp_path), tmp_path)
