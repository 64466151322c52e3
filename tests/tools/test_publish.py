"""Small weights files of checkpoints."""
import publish
import torch
from factories import ROOT, refusal

from mmpose_ssa.engine.unpickling import read


def test_published_weights_are_those_of_the_checkpoint(tmp_path):
    """Matrices to float16's precision, vectors and statistics exactly."""
    norm = torch.nn.BatchNorm2d(3)
    norm.running_var[:] = torch.tensor([1e-6, 1., 1e6])
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), norm)
    torch.save(dict(
        state_dict=model.state_dict(), optimizer=dict(step=1),
        message_hub=dict(), meta=dict(epoch=3, seed=0, cfg='long',
                                      dataset_meta=dict(num_keypoints=17))),
        tmp_path / 'epoch_3.pth')
    out = tmp_path / 'weights/small.pth'
    publish.main([str(tmp_path / 'epoch_3.pth'), str(out)])
    small = read(str(out))
    assert set(small) == {'state_dict', 'meta'}
    assert small['meta'] == dict(epoch=3, seed=0,
                                 dataset_meta=dict(num_keypoints=17))
    assert small['state_dict']['0.weight'].dtype == torch.float16
    for name, tensor in model.state_dict().items():
        found = small['state_dict'][name]
        if tensor.dim() > 1:
            assert torch.allclose(found.float(), tensor, rtol=1e-3, atol=1e-7)
        else:
            assert torch.equal(found, tensor)


def test_what_is_no_checkpoint_is_named(tmp_path, capsys):
    torch.save(torch.zeros(3), tmp_path / 'tensor.pth')
    (tmp_path / 'half.pth').write_bytes(
        (ROOT / 'weights/ssa_demo.pth').read_bytes()[:5000])
    for words in ('none.pth does not exist', 'tensor.pth holds a Tensor',
                  'half.pth cannot be read'):
        assert words in refusal(capsys, publish.main,
                                tmp_path / words.partition(' ')[0],
                                tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_weights_beyond_half_precision_are_refused(tmp_path, capsys):
    torch.save(dict(state_dict=dict(w=torch.tensor([[1., -65520.]]))),
               tmp_path / 'a.pth')
    message = refusal(capsys, publish.main, tmp_path / 'a.pth',
                      tmp_path / 'out.pth')
    assert 'w reaches 65520.0' in message
    assert not (tmp_path / 'out.pth').exists()
