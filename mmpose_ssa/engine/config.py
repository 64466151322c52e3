"""Change a setting in all the places where MMPose reads it.

The codec stands in the head, which decodes, and in the pipelines, which
encode and repeat its sizes; the keypoints stand in the codec, in the head and
in three data sets. A config that changes one of them calls :func:`refit`, and
then goes on as any other:

    _base_ = ['ssa_r101_640.py']
    from mmpose_ssa.engine.config import refit

    refit(_base_, dict(input_size=(512, 512), heatmap_size=(128, 128)))
    train_dataloader = dict(batch_size=4)

Both functions change ``_base_``, that is what the config inherits: MMEngine
merges what the config itself says into that. What it dumps is plain and needs
neither of them. ``_base_`` must be the first statement, or MMEngine takes the
import for its other kind of config.
"""
import warnings
from copy import deepcopy
from typing import Dict, Optional, Union

# What the codecs know of the keypoints
KEYPOINT_ARGUMENTS = dict(
    AttentionGrouping=('num_keypoints', 'order', 'edges'),
    TagGrouping=('num_keypoints', 'order'))
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def refit(base: dict,
          codec: Optional[dict] = None,
          steps: Optional[Dict[str, Optional[dict]]] = None,
          metainfo: Optional[dict] = None,
          train: Optional[dict] = None,
          test: Optional[dict] = None,
          metric: Optional[dict] = None,
          person: Union[str, int, None] = None) -> None:
    """Change what a config inherits, in every place where it stands.

    Args:
        base: ``_base_`` of a config of this project, changed in place.
        codec: Other arguments of the codec, for the head and the pipelines;
            with another ``type`` a new codec. Sizes and strides go to the
            steps that have them, too.
        steps: Other arguments of steps of the pipelines, by their type; None
            takes a step out.
        metainfo: Of the data sets, as MMPose takes it, for example
            ``dict(from_file='my_keypoints.py')``. The codec and the head get
            the number of keypoints, and the codec an order (trunk first) and
            the links of the skeleton, unless ``codec`` has them.
        train: Other arguments of the training data set.
        test: Other arguments of the data set of validation and test.
        metric: Other arguments of the first metric. Its ``prefix`` also names
            the best checkpoint's AP.
        person: Name or id of the category that is trained and tested on,
            such as 'cow'; the metrics follow the data sets.

    Raises:
        ValueError: If no pipeline has a step of that type, the skeleton of
            the metainfo does not connect all keypoints, or ``metainfo``,
            ``train`` or ``test`` is for several data sets that differ.
    """
    codec = dict(codec or {})
    if metainfo:
        _set_keypoints(base, codec, metainfo)
    if codec:
        _set_codec(base, codec)
    if codec or steps:
        _set_steps(base, codec, steps or {})
    if person is not None:
        for name in LOADERS:
            for data in leaf_datasets(base[name].dataset):
                data.person = person
    for name, data in zip(LOADERS, (train, test, test)):
        *others, last = _datasets(base[name].dataset)
        if data and any(map(_has_keypoints, others)):
            raise ValueError(
                f'{name}.dataset is a {base[name].dataset.type} of several: '
                f'change them one by one, not all to {data}')
        last.update(data or {})
    for name in ('val_evaluator', 'test_evaluator'):
        first = base[name][0] if isinstance(base[name], list) else base[name]
        first.update(metric or {})
    if metric and 'prefix' in metric:
        checkpoints = base.default_hooks.checkpoint
        checkpoints.save_best = f"{metric['prefix']}/AP"


def add_refiner(base: dict, refiner: dict, **test_cfg) -> None:
    """Refine what is found in testing (section 3.1).

    Args:
        base: ``_base_`` of a config of an SSA model, changed in place.
        refiner: ``config`` and ``checkpoint`` of the top-down model.
        **test_cfg: ``fill_missing`` (the refiner's, not the codec's),
            ``rescore``, ``ks_threshold``.
    """
    base.model.refiner = refiner
    base.model.test_cfg.update(test_cfg)
    # the refiner looks at the original pixels
    base.test_dataloader.dataset.pipeline[0].keep_original = True


def leaf_datasets(dataset: dict) -> list:
    """The data sets of a loader that read a file themselves.

    Args:
        dataset: Its ``dataset``, which may repeat or join others.
    """
    return [data for data in _datasets(dataset)
            if not {'dataset', 'datasets'} & set(data)]


def _datasets(dataset: dict) -> list:
    """The data set of a loader, followed by those that it repeats or joins."""
    parts = dataset.get('datasets', [])
    if 'dataset' in dataset:
        parts = [dataset['dataset']]
    return [dataset] + [found for part in parts for found in _datasets(part)]


def _has_keypoints(dataset: dict) -> bool:
    """Whether it has a metainfo, and not that of the data sets in it.

    MMPose's CombinedDataset, whose parts have different ones, is refused.
    """
    if dataset['type'] == 'CombinedDataset':
        raise ValueError('a CombinedDataset has several metainfos: write its '
                         '`metainfo`, and those of its `datasets`, by hand')
    return not {'dataset', 'datasets'} & set(dataset)


def _set_keypoints(base: dict, codec: dict, metainfo: dict) -> None:
    """Write the metainfo to the data sets, and K to head and ``codec``."""
    for name in LOADERS:
        for data in filter(_has_keypoints, _datasets(base[name].dataset)):
            data.metainfo = metainfo
    found = keypoint_arguments(metainfo)
    kind = codec.get('type', base.codec.type)
    for name in KEYPOINT_ARGUMENTS.get(kind, ()):
        if name in found:
            codec.setdefault(name, found[name])
    head = base.model.head
    name = 'out_channels' if 'out_channels' in head else 'num_keypoints'
    head[name] = found['num_keypoints']


def keypoint_arguments(metainfo: dict) -> dict:
    """What a codec has to know of a data set's keypoints.

    Args:
        metainfo: As MMPose takes it.

    Returns:
        ``num_keypoints``, and ``order`` and ``edges`` unless they are COCO's
        17, for which the codec has the paper's.

    Raises:
        ValueError: If the skeleton does not connect all keypoints.
    """
    from . import compat  # noqa: F401  before MMPose  # isort: split

    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    from ..decoding.graph import outward_order
    info = parse_pose_metainfo(dict(metainfo))
    with warnings.catch_warnings():  # MMPose has it in a folder of its own
        warnings.simplefilter('ignore')
        coco = parse_pose_metainfo(
            dict(from_file='configs/_base_/datasets/coco.py'))
    count, edges = info['num_keypoints'], info['skeleton_links']
    if info['keypoint_id2name'] == coco['keypoint_id2name']:
        return dict(num_keypoints=count)
    try:
        order = outward_order(edges, count)
    except ValueError as error:
        raise ValueError(
            f"the skeleton of {info['dataset_name']} is not the graph of a "
            f'body ({error}): complete its skeleton_info, or give the codec '
            '`order` and `edges`') from error
    return dict(num_keypoints=count, order=order, edges=tuple(edges))


def _set_codec(base: dict, changes: dict) -> None:
    """Write the codec to the config and the head."""
    if changes.get('type', base.codec.type) != base.codec.type:
        base.codec = base.model.head.decoder = changes  # copied by both
    else:
        base.codec.update(changes)
        if 'decoder' in base.model.head:
            base.model.head.decoder.update(changes)


def _set_steps(base: dict, codec: dict, steps: dict) -> None:
    """Write codec, sizes and what the steps shall be to all pipelines."""
    sizes = {name: codec[name] for name in ('input_size', 'heatmap_size')
             if name in codec}
    if 'token_stride' in codec:
        sizes['size_factor'] = codec['token_stride']

    def changed(pipeline: list) -> list:
        return [{
            **step,
            **{k: v for k, v in sizes.items() if k in step},
            **(dict(encoder=deepcopy(base.codec)) if 'encoder' in step else
               {}),
            **steps.get(step['type'], {})
        } for step in pipeline if steps.get(step['type'], {}) is not None]

    places = [(base, name) for name in base if name.endswith('_pipeline')]
    places += [(data, 'pipeline') for name in LOADERS
               for data in _datasets(base[name].dataset) if 'pipeline' in data]
    types = {step['type'] for where, name in places for step in where[name]}
    if set(steps) - types:
        raise ValueError(
            f'no pipeline has a step {sorted(set(steps) - types)}: give types '
            f'among {sorted(types)}')
    for where, name in places:
        where[name] = changed(where[name])
