"""DEKR and CID on SSA's data: the crowds masked, targets and persons."""

import numpy as np
import pytest
import torch
from factories import steps, write_scenes
from mmengine.dataset import Compose
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import load_state_dict
from mmpose.registry import DATASETS, KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from small_configs import tiny, with_data

MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]

pytestmark = [
    pytest.mark.usefixtures('mmpose'),
    pytest.mark.filterwarnings('ignore:torch.meshgrid'),
    pytest.mark.filterwarnings('ignore:Default grid_sample'),
]


# --- the mask of the crowds -------------------------------------------------


def targets(cfg):
    """A sample of a person on the left and a crowd on the right, 64x64.

    The crowd's polygon covers columns 8 to 15 of 16, rows 4 to 11.
    """
    pipeline = steps(cfg.train_dataloader.dataset.pipeline)
    keypoints = np.zeros((2, 17, 2), np.float32)
    keypoints[0] = np.random.default_rng(0).uniform(4, 28, (17, 2))
    visible = np.zeros((2, 17), np.float32)
    visible[0] = 1
    boxes = np.array([[4, 4, 28, 28], [32, 16, 64, 48]], np.float32)
    people = [
        dict(id=1, image_id=1, iscrowd=0, keypoints=[2] * 51, area=2000,
             bbox=[4, 4, 24, 24],
             segmentation=[[4, 4, 28, 4, 28, 28, 4, 28]]),
        dict(id=2, image_id=1, iscrowd=1, keypoints=[0] * 51, area=1024,
             bbox=[32, 16, 32, 32],
             segmentation=[[32, 16, 64, 16, 64, 48, 32, 48]])]
    results = dict(
        id=[1, 2], img_id=1, img_path='', img=np.zeros((64, 64, 3), np.uint8),
        img_shape=(64, 64), ori_shape=(64, 64), input_size=(64, 64),
        warp_mat=np.eye(2, 3), keypoints=keypoints, keypoints_visible=visible,
        bbox=boxes[:, [[0, 1], [0, 3], [2, 1], [2, 3]]], raw_ann_info=people)
    return Compose([
        pipeline[name] for name in ('GeneratePersonMasks', 'GenerateTarget',
                                    'PackPoseInputs')
    ])(results)['data_samples']


CROWD = np.zeros((16, 16), bool)
CROWD[4:12, 8:] = True


@pytest.mark.parametrize('name', ['dekr_hrnet_w32_512', 'dekr_demo'])
def test_dekr_leaves_crowds_out(load, name):
    """Outputs in a crowd have no gradient, all others of the heatmaps do."""
    cfg = tiny(load(name))
    head, sample = MODELS.build(cfg.model.head), targets(cfg)
    head.forward = lambda outputs: outputs
    outputs = [torch.rand(1, channels, 16, 16, requires_grad=True)
               for channels in (18, 34)]
    losses = head.loss(outputs, [sample])
    gradients = torch.autograd.grad(sum(losses.values()), outputs)
    assert np.array_equal((gradients[0][0] != 0).numpy(),
                          np.broadcast_to(~CROWD, (18, 16, 16)))
    assert gradients[1][0].any() and not gradients[1][0, :, CROWD].any()
    fields = sample.gt_fields
    errors = (outputs[0][0] - fields.heatmaps).square()
    expected = (fields.heatmap_weights * errors)[:, ~CROWD].sum()
    assert losses['loss/heatmap'].item() == pytest.approx(
        expected.item() / (18 * 256))
    # MMPose's own codec is the one that loses the mask
    cfg.train_dataloader.dataset.pipeline[5].encoder.type = 'SPR'
    assert 'heatmap_mask' not in targets(cfg).gt_fields


def test_cid_leaves_crowds_out(load):
    """The keypoints of all persons; features of a crowd have no say."""
    cfg = tiny(load('cid_hrnet_w32_512'))
    head, sample = MODELS.build(cfg.model.head), targets(cfg)
    feats = torch.randn(1, 120, 16, 16, requires_grad=True)
    losses = head.loss([feats], [sample])
    gradient, = torch.autograd.grad(losses['loss/heatmap_coupled'], feats)
    assert np.array_equal(gradient[0].numpy().any(0), ~CROWD)
    assert losses['loss/heatmap_decoupled'].item() > 0
    cfg.train_dataloader.dataset.pipeline[5].encoder.type = 'DecoupledHeatmap'
    assert 'heatmap_mask' not in targets(cfg).gt_fields


# --- targets and persons ----------------------------------------------------


@pytest.mark.parametrize('size', [12, 47, 90, 140, 233, 350])
def test_cid_targets_decode_to_the_keypoints(size, rng):
    """Peaks lie in the keypoints' cells, however large the person."""
    codec = KEYPOINT_CODECS.build(dict(
        type='MaskedDecoupledHeatmap', input_size=(512, 512),
        heatmap_size=(128, 128)))
    corner = rng.uniform(0, 512 - size, 2)
    keypoints = corner + rng.uniform(0, size, (1, 17, 2))
    keypoints[0, :2] = corner, corner + size
    encoded = codec.encode(keypoints.astype(np.float32), np.ones((1, 17)))
    maps = encoded['instance_heatmaps']
    y, x = np.unravel_index(maps.reshape(17, -1).argmax(1), (128, 128))
    cells = np.floor(keypoints[0].astype(np.float32) / 4)
    assert np.array_equal(np.stack([x, y], 1), cells)
    assert (maps.max((1, 2)) == 1).all()  # what the focal loss calls positive
    decoded, _ = codec.decode(maps[None], np.ones((1, 1)))
    # the centres of the cells, as CID's head adds half a cell
    assert np.abs(decoded + 2 - keypoints).max() <= 2 + 1e-4


def outputs(codec, keypoints):
    """Perfect heatmaps and displacements of persons (N, K, 2)."""
    encoded = codec.encode(keypoints.astype(np.float32))
    return tuple(torch.from_numpy(encoded[name])[None]
                 for name in ('heatmaps', 'displacements'))


def test_dekr_head_equals_that_of_mmpose(load):
    """Whose deformable convolutions are mmcv's; values and gradients."""
    cfg = load('dekr_demo').model.head
    torch.manual_seed(0)
    ours, theirs = (MODELS.build(dict(cfg, type=name))
                    for name in ('ContiguousDEKRHead', 'DEKRHead'))
    for parameter in ours.parameters():  # offsets that are not almost 0
        torch.nn.init.normal_(parameter, std=.1)
    theirs.load_state_dict(ours.state_dict())
    features = torch.randn(2, 240, 12, 16)
    results = []
    for head in (ours, theirs):
        given = features.clone().requires_grad_()
        outputs = head((given, ))
        sum(output.square().sum() for output in outputs).backward()
        results.append([*(output.detach() for output in outputs), given.grad,
                        *(weight.grad for weight in head.parameters())])
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=1e-3,
                                   atol=1e-5 * float(expected.abs().max()))


def test_dekr_takes_weights_that_rescore(load, tmp_path):
    """Strictly: MMPose's published ones have the network for it."""
    cfg = tiny(load('dekr_demo')).model
    weights = MODELS.build(dict(cfg, head=dict(cfg.head, rescore_cfg=dict(
        in_channels=74, norm_indexes=(5, 6))))).state_dict()
    assert 'head.rescore_net.l1.weight' in weights
    torch.save(dict(state_dict=weights), tmp_path / 'published.pth')
    model = MODELS.build(cfg)
    load_checkpoint(model, str(tmp_path / 'published.pth'), strict=True)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    # as if of MMPose 0.x, whose files do not tell the version
    load_state_dict(model, dict(weights), strict=True)


def test_dekr_in_channels_last_memory(load):
    """The same values, in the memory layout that MMPose's views need."""
    head = MODELS.build(tiny(load('dekr_demo')).model.head).eval()
    feats = torch.randn(2, 120, 8, 8)
    plain = head((feats, ))
    head.to(memory_format=torch.channels_last)
    found = head((feats.contiguous(memory_format=torch.channels_last), ))
    for ours, theirs in zip(found, plain):
        assert ours.is_contiguous()
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('flip_test', [False, True])
def test_dekr_decodes_perfect_outputs_to_the_keypoints(load, flip_test):
    cfg = load('dekr_demo')
    head = MODELS.build(cfg.model.head)
    rng = np.random.default_rng(1)
    persons = np.stack([rng.uniform(10, 70, (17, 2)),
                        rng.uniform(85, 150, (17, 2))])
    head.forward = lambda feats: outputs(head.decoder, feats)
    feats = persons
    if flip_test:
        mirror = persons[:, MIRRORED].copy()
        mirror[..., 0] = 159 - mirror[..., 0]
        feats = [persons, mirror]
    sample = PoseDataSample(metainfo=dict(
        flip_indices=MIRRORED, input_size=(160, 160)))
    found, = head.predict(feats, [sample],
                          dict(cfg.model.test_cfg, flip_test=flip_test))
    best = found.keypoints[np.argsort(-found.keypoint_scores.mean(1))[:2]]
    best = best[np.argsort(best[:, 0, 0])]
    assert np.abs(best - persons).max() < 1e-3


def test_nobody(load):
    """Empty outputs give no persons, in the shapes that follow."""
    sample = PoseDataSample(metainfo=dict(
        flip_indices=MIRRORED, input_size=(64, 64)))
    cfg = tiny(load('dekr_demo'))
    dekr = MODELS.build(cfg.model.head)
    dekr.forward = lambda feats: (torch.zeros(1, 18, 16, 16),
                                  torch.zeros(1, 34, 16, 16))
    cid = MODELS.build(tiny(load('cid_hrnet_w32_512')).model.head)
    cid.iia_module.keypoint_root_conv.bias.data.fill_(-20.)
    for head in (dekr, cid):
        with torch.no_grad():
            found, = head.predict([torch.zeros(1, 120, 16, 16)], [sample],
                                  dict(nms_dist_thr=0.05))
        assert found.keypoints.shape == (0, 17, 2)
        assert found.keypoint_scores.shape == (0, 17)


# --- it learns --------------------------------------------------------------


def test_dekr_demo_learns(load, tmp_path):
    """Four images, 25 steps: both losses fall, by all weights."""
    cfg = with_data(tiny(load('dekr_demo')),
                    data_root=str(write_scenes(tmp_path)))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    items = [dataset[i] for i in range(4)]
    batch = dict(inputs=[item['inputs'] for item in items],
                 data_samples=[item['data_samples'] for item in items])
    model = MODELS.build(cfg.model)
    model.init_weights()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(25):
        losses = model(**model.data_preprocessor(batch, training=True),
                       mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append([losses['loss/heatmap'].item(),
                        losses['loss/displacement'].item()])
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    assert history[-1][0] < .6 * history[0][0]
    assert history[-1][1] < .8 * history[0][1]
