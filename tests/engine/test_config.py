"""What a config says once stands in all places, and nothing else changes."""
import copy

import pytest
from factories import CONFIGS
from mmengine.config import Config

pytestmark = pytest.mark.usefixtures('mmpose')

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
FIVE = """
names = ['head', 'left_hand', 'right_hand', 'left_foot', 'right_foot']
swaps = ['', names[2], names[1], names[4], names[3]]
dataset_info = dict(
    dataset_name='five',
    keypoint_info={
        i: dict(id=i, name=name, swap=swap, type='', color=[9, 9, 9])
        for i, (name, swap) in enumerate(zip(names, swaps))},
    skeleton_info={
        i: dict(id=i, link=('head', name), color=[9, 9, 9])
        for i, name in enumerate(names[1:])},
    joint_weights=[1.] * 5,
    sigmas=[.05] * 5)
del names, swaps
"""


@pytest.fixture
def five(tmp_path):
    """The metainfo of five keypoints."""
    path = tmp_path / 'five.py'
    path.write_text(FIVE)
    return dict(from_file=str(path))


@pytest.fixture
def read(tmp_path):
    """Reads a config of some lines that inherits others."""

    def read(*lines, base='ssa/ssa_r50_640.py'):
        path = tmp_path / 'child.py'
        path.write_text('\n'.join((
            f'_base_ = [{str(CONFIGS / base)!r}]',
            'from mmpose_ssa.engine.config import add_refiner, refit',
            *lines)))
        return Config.fromfile(path, import_custom_modules=False)

    return read


def pipelines(cfg) -> list:
    """All five, of training and of the four places of testing."""
    return [cfg.train_pipeline, cfg.val_pipeline,
            *(cfg[name].dataset.pipeline for name in LOADERS)]


def steps(pipeline) -> dict:
    return {step.type: step for step in pipeline}


def test_codec_and_sizes_stand_in_all_places(read):
    plain = read()
    cfg = read('refit(_base_, dict(input_size=(512, 384),'
               ' heatmap_size=(128, 96), token_stride=8))',
               'train_dataloader = dict(batch_size=4)')
    codec = dict(plain.codec, input_size=(512, 384), heatmap_size=(128, 96),
                 token_stride=8)
    assert cfg.codec == cfg.model.head.decoder == codec
    for training in pipelines(cfg)[0:3:2]:
        here = steps(training)
        assert here['GenerateTarget'].encoder == codec
        assert here['SSARandomAffine'].input_size == (512, 384)
        assert here['GeneratePersonMasks'].heatmap_size == (128, 96)
    for testing in pipelines(cfg)[1:2] + pipelines(cfg)[3:]:
        assert steps(testing)['SSAResize'].input_size == (512, 384)
        assert steps(testing)['SSAResize'].size_factor == 8
    # the rest is inherited, and what the config says comes on top
    assert cfg.train_dataloader.batch_size == 4
    cfg.train_dataloader.batch_size = plain.train_dataloader.batch_size
    for both in (cfg, plain):
        both.codec = both.model.head.decoder = {}
        for pipeline in pipelines(both):
            for step in pipeline:
                for name in ('encoder', 'input_size', 'heatmap_size',
                             'size_factor'):
                    step.pop(name, None)
    assert cfg.to_dict() == plain.to_dict()


def test_what_the_decoder_has_of_its_own_stays(read):
    cfg = read('refit(_base_, dict(sigma=3))',
               base='ssa/ssa_r101_640_body-first.py')
    assert cfg.model.head.decoder == dict(cfg.codec, grouping='body_first')
    assert cfg.codec.sigma == 3


def test_another_type_is_a_new_codec(read):
    cfg = read("refit(_base_, dict(type='TagGrouping', input_size=(64, 64),"
               ' heatmap_size=(16, 16)))')
    assert cfg.codec == cfg.model.head.decoder == dict(
        type='TagGrouping', input_size=(64, 64), heatmap_size=(16, 16))
    assert steps(cfg.train_pipeline)['GenerateTarget'].encoder == cfg.codec


def test_places_share_nothing(read):
    cfg = read('refit(_base_, dict(sigma=3))')
    cfg.model.head.decoder.sigma = 4
    steps(cfg.train_pipeline)['GenerateTarget'].encoder.sigma = 5
    inner = steps(cfg.train_dataloader.dataset.pipeline)['GenerateTarget']
    assert (cfg.codec.sigma, inner.encoder.sigma) == (3, 3)


def test_steps_are_changed_or_taken_out(read):
    plain = read()
    cfg = read('refit(_base_, steps=dict(SSARandomFlip=None,'
               ' LoadCheckedImage=dict(keep_original=True)))')
    for changed, before in zip(pipelines(cfg), pipelines(plain)):
        expected = copy.deepcopy(
            [step for step in before if step.type != 'SSARandomFlip'])
        steps(expected)['LoadCheckedImage'].keep_original = True
        assert changed == expected
    assert cfg.codec == plain.codec
    with pytest.raises(ValueError, match=r"\['RandomFlip'\].*'SSARandomFlip'"):
        read('refit(_base_, steps=dict(RandomFlip=None, SSAResize=None))')


def test_data_and_metric_are_changed_for_validation_and_test(read):
    plain = read()
    cfg = read("refit(_base_, train=dict(ann_file='a.json'),"
               " test=dict(ann_file='b.json', data_prefix=dict(img='')),"
               " metric=dict(prefix='mine', use_area=False))")
    files = [cfg[name].dataset.ann_file for name in LOADERS]
    assert files == ['a.json', 'b.json', 'b.json']
    assert cfg.val_dataloader.dataset.data_prefix == dict(img='')
    assert cfg.test_dataloader.dataset.data_root == 'data/coco/'
    first, masks = plain.val_evaluator
    assert cfg.val_evaluator == cfg.test_evaluator == [
        dict(first, prefix='mine', use_area=False), masks]
    assert cfg.default_hooks.checkpoint == dict(
        plain.default_hooks.checkpoint, save_best='mine/AP')


# --- keypoints --------------------------------------------------------------


@pytest.mark.parametrize('base', ['ssa/ssa_r50_640.py',
                                  'photos/ssa_photos.py'])
def test_the_category_stands_in_all_data_sets(read, base):
    from mmpose_ssa.engine.config import leaf_datasets
    cfg = read("refit(_base_, person='cow')", base=base)
    leaves = [leaf for name in LOADERS
              for leaf in leaf_datasets(cfg[name].dataset)]
    assert len(leaves) > 2 and {leaf.person for leaf in leaves} == {'cow'}
    assert 'person' not in read(base=base).test_dataloader.dataset


def test_the_metainfo_says_it_all(read, five):
    cfg = read(f'refit(_base_, metainfo={five})')
    codec = dict(read().codec, num_keypoints=5, order=(0, 1, 2, 3, 4),
                 edges=((0, 1), (0, 2), (0, 3), (0, 4)))
    assert cfg.codec == cfg.model.head.decoder == codec
    assert steps(cfg.train_pipeline)['GenerateTarget'].encoder == codec
    assert cfg.model.head.out_channels == 5
    assert [cfg[name].dataset.metainfo for name in LOADERS] == [five] * 3


def test_an_order_that_is_given_stays(read, five):
    cfg = read(f'refit(_base_, dict(order=(4, 3, 2, 1, 0)), metainfo={five})')
    assert cfg.model.head.decoder.order == (4, 3, 2, 1, 0)
    assert cfg.model.head.decoder.edges == ((0, 1), (0, 2), (0, 3), (0, 4))


@pytest.mark.parametrize('name, codec', [
    ('higherhrnet_demo', dict(num_keypoints=5, order=(0, 1, 2, 3, 4))),
    ('dekr_demo', {})])
def test_other_codecs_and_heads_get_what_they_take(read, five, name, codec):
    base = f'comparisons/{name}.py'
    cfg = read(f'refit(_base_, metainfo={five})', base=base)
    assert cfg.model.head.num_keypoints == 5
    assert cfg.codec == dict(read(base=base).codec, **codec)


def test_cocos_keypoints_keep_the_papers_order(read):
    """Of a data set with another name, and with other links."""
    cfg = read("refit(_base_, metainfo=dict("
               "from_file='configs/_base_/datasets/humanart.py'))")
    assert cfg.codec == dict(read().codec, num_keypoints=17)


def test_a_skeleton_in_parts_is_refused(read, five, tmp_path):
    path = tmp_path / 'five.py'
    path.write_text(path.read_text().replace('names[1:])', 'names[1:4])'))
    with pytest.raises(ValueError, match=r'skeleton of five .*\[4\].*`order`'):
        read(f'refit(_base_, metainfo={five})')


# --- the refiner, and what is written ---------------------------------------


def test_a_refiner_looks_at_the_original_in_testing_alone(read):
    plain = read()
    cfg = read("add_refiner(_base_, dict(config='a.py', checkpoint='b.pth'),"
               ' fill_missing=False)')
    assert cfg.model.refiner == dict(config='a.py', checkpoint='b.pth')
    assert cfg.model.test_cfg == dict(plain.model.test_cfg, fill_missing=False)
    load = steps(cfg.test_dataloader.dataset.pipeline)['LoadCheckedImage']
    assert load.pop('keep_original')
    assert pipelines(cfg) == pipelines(plain)


@pytest.mark.parametrize('name', [
    'ssa/ssa_r101_800_refine2', 'comparisons/higherhrnet_w32_512_crowdpose'])
def test_a_dump_needs_no_helper(tmp_path, name):
    """Runs write one to their folder."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.dump(tmp_path / 'dump.py')
    text = (tmp_path / 'dump.py').read_text()
    assert '_base_ =' not in text and 'engine.config' not in text
    assert Config.fromfile(tmp_path / 'dump.py').to_dict() == cfg.to_dict()


PHOTOS = 'photos/ssa_photos.py'


def test_data_sets_that_are_joined_are_refitted(read):
    cfg = read('refit(_base_, dict(input_size=(320, 320)), metainfo='
               'dict(from_file="configs/_base_/datasets/coco.py"))',
               base=PHOTOS)
    parts = cfg.train_dataloader.dataset.datasets
    assert [part.data_prefix.img for part in parts] == ['train/',
                                                        'train_nomask/']
    for part in parts:
        assert steps(part.pipeline)['SSARandomAffine'].input_size == (320, 320)
        assert part.metainfo.from_file == 'configs/_base_/datasets/coco.py'
    assert 'metainfo' not in cfg.train_dataloader.dataset


def test_a_repeated_data_set_is_refitted(read, tmp_path):
    middle = tmp_path / 'repeated.py'
    middle.write_text('\n'.join((
        f'_base_ = [{str(CONFIGS / "ssa/ssa_r50_640.py")!r}]',
        'train_dataloader = dict(dataset=dict(_delete_=True,',
        "type='RepeatDataset', times=2,",
        'dataset=_base_.train_dataloader.dataset))')))
    cfg = read('refit(_base_, dict(sigma=3), train=dict(ann_file="a.json"))',
               base=middle)
    repeated = cfg.train_dataloader.dataset
    assert repeated.times == 2
    assert repeated.dataset.ann_file == 'a.json'
    inner = steps(repeated.dataset.pipeline)
    assert inner['GenerateTarget'].encoder.sigma == 3


def test_several_data_sets_have_no_file_in_common(read):
    with pytest.raises(ValueError, match='ConcatDataset.*a.json'):
        read('refit(_base_, train=dict(ann_file="a.json"))', base=PHOTOS)


def test_combined_metainfos_are_not_overwritten(read, tmp_path):
    middle = tmp_path / 'combined.py'
    middle.write_text('\n'.join((
        f'_base_ = [{str(CONFIGS / PHOTOS)!r}]',
        "train_dataloader = dict(dataset=dict(type='CombinedDataset',",
        'metainfo=dict(from_file="configs/_base_/datasets/coco.py")))')))
    with pytest.raises(ValueError, match='CombinedDataset.*metainfo'):
        read('refit(_base_, metainfo=dict('
             'from_file="configs/_base_/datasets/coco.py"))', base=middle)
