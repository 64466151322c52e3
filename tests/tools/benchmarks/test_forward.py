"""The section on the forward: its tables, rates and deviations."""
import pytest
import torch
import torch.nn.functional as F
from benchmarks import forward
from benchmarks.report import markdown

pytestmark = pytest.mark.usefixtures('mmpose')


@pytest.fixture(scope='module')
def tables():
    from mmengine.registry import init_default_scope
    init_default_scope('mmpose')
    return forward.measure(quick=True)


def test_models_stand_beside_the_matrix_product(tables):
    names = [row[0] for row in tables[0].rows]
    assert names[:4] == ['ssa_demo', 'higherhrnet_demo', 'dekr_demo',
                         'ae_demo']
    assert names[4] in ('product of 256', 'product of 512')
    by_name = {row[0]: row for row in tables[0].rows}
    assert by_name['higherhrnet_demo'][2] == 1
    product = by_name[names[4]]
    assert product[3] == int(names[4].split()[-1])**3 / 1e9
    assert product[5] == 1
    # one round: rates and shares follow from the seconds
    for _, seconds, relative, gmac, rate, share in tables[0].rows:
        assert rate == pytest.approx(gmac / seconds)
        assert share == pytest.approx(rate / product[4])
        assert relative == pytest.approx(
            seconds / by_name['higherhrnet_demo'][1])
    assert 'product of' in markdown(tables[0])


def test_options_leave_the_results_within_bounds(tables):
    rows = {row[0]: row[1:] for row in tables[1].rows}
    assert list(rows) == [
        'float32, contiguous', 'channels last',
        'channels last, inference_mode', 'channels last, dense attention',
        'channels last, bfloat16']
    assert rows['float32, contiguous'][1] == 1
    assert rows['float32, contiguous'][3:] == ['0', '0']
    for option, bound in (('channels last', 1e-4),
                          ('channels last, inference_mode', 1e-4),
                          ('channels last, dense attention', 1e-4),
                          ('channels last, bfloat16', .1)):
        assert all(float(value) < bound for value in rows[option][3:])
    # bfloat16 has 8 bits: it is on
    assert all(float(value) > 1e-4
               for value in rows['channels last, bfloat16'][3:])


def test_each_option_is_on(monkeypatch):
    model, size = forward.build('demo/ssa_demo')
    seen, run = [], F.batch_norm
    monkeypatch.setattr(F, 'batch_norm', lambda *args, **kwargs: (
        seen.append('norm'), run(*args, **kwargs))[1])
    model.neck.register_forward_hook(
        lambda _, inputs, __: seen.append(
            inputs[0][-1].is_contiguous(memory_format=torch.channels_last)))
    made = {name: (function(), list(seen), seen.clear())[:2]
            for name, function in forward.options(
                model, forward.image_of(size)).items()}
    norms = ['norm'] * 10  # before the neck
    # the contiguous model is a copy, whose hooks are these too
    assert made['float32, contiguous'][1][:11] == [*norms, False]
    assert made['channels last'][1][:11] == [*norms, True]
    for name, (outputs, _) in made.items():
        heatmaps, _ = outputs
        assert heatmaps.is_inference() == ('inference_mode' in name)
        assert (heatmaps.dtype == torch.bfloat16) == ('bfloat16' in name)
        assert not heatmaps.requires_grad


def test_norms_have_the_statistics_of_the_image():
    model, size = forward.build('demo/ssa_demo')
    forward.take_statistics(model, forward.image_of(size))
    assert not model.training
    seen = []
    model.backbone.conv1.register_forward_hook(
        lambda _, __, output: seen.append(output))
    forward.forward(model, forward.image_of(size))
    norm, block = model.backbone.norm1, model.backbone.layer1[0]
    assert (block.norm2.weight == .2).all()
    assert (block.norm1.weight == 1).all()
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, seen[0].var((0, 2, 3)),
                               rtol=1e-4, atol=1e-6)


def test_deviations_by_hand():
    expected = torch.tensor([1., -4.]), torch.tensor([.5, .25])
    found = torch.tensor([2., -4.]), torch.tensor([.5, .30])
    assert forward.deviations(found, expected) == pytest.approx([.25, .1])
    assert list(map(forward.scientific, (0., .000123))) == ['0', '1e-04']
