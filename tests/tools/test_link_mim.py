"""Links for `mim` in an editable installation."""
import link_mim
import pytest
from factories import ROOT


def test_the_folder_holds_links_and_no_package(tmp_path):
    for _ in range(2):  # the second time anew
        folder = link_mim.link(tmp_path)
    assert folder == tmp_path / 'mmpose_ssa/.mim'
    assert [path.name for path in folder.parent.iterdir()] == ['.mim']
    assert (folder / 'configs/ssa/ssa_r101_640.py').samefile(
        ROOT / 'configs/ssa/ssa_r101_640.py')
    assert (folder / 'tools/train.py').is_file()
    assert (folder / 'model-index.yml').is_file()


def test_an_installed_package_is_left_alone(tmp_path):
    (tmp_path / 'mmpose_ssa').mkdir()
    (tmp_path / 'mmpose_ssa/__init__.py').touch()
    with pytest.raises(FileExistsError, match='pip uninstall'):
        link_mim.link(tmp_path)
    assert not (tmp_path / 'mmpose_ssa/.mim').exists()
