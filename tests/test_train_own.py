"""The worked example of the guide, as it is printed, on fewer images."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from factories import ROOT
from pycocotools.coco import COCO

PAGE = (ROOT / 'docs/guide/train_own.md').read_text()
SECTION = PAGE[PAGE.index('## A worked example'):]
SECTION = SECTION[:SECTION.index('\n## ')]
FEWER = {'train=400, val=40': 'train=8, val=4', 'max_epochs=4': 'max_epochs=1',
         'epoch_4.pth': 'epoch_1.pth'}
# indented, and not in a fenced block
COMMANDS = re.findall(
    r'(?m)^    (\S(?:.*\\\n)*.*)$',
    re.sub('(?s)```.*?```', '', SECTION))


def fewer(text):
    for printed, here in FEWER.items():
        text = text.replace(printed, here)
    return text


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A checkout with the files of the example."""
    root = tmp_path_factory.mktemp('checkout')
    for name in ('configs', 'mmpose_ssa', 'tools', 'weights'):
        (root / name).symlink_to(ROOT / name)
    own = root / 'data/dancers'
    own.mkdir(parents=True)
    blocks = re.findall('```python\n(# data/dancers/([a-z]+.py).*?)```',
                        SECTION, re.DOTALL)
    assert [name for _, name in blocks] == ['draw.py', 'convert.py',
                                            'dancers.py']
    for text, name in blocks:
        (own / name).write_text(fewer(text))
    metainfo, = re.findall(
        '```python\n# data/my_people/metainfo.py\n(.*?)```',
        (ROOT / 'docs/data.md').read_text(), re.DOTALL)
    (own / 'metainfo.py').write_text(metainfo)
    return root


@pytest.fixture(scope='module')
def said(folder):
    """What each command says."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environment = dict(os.environ, PATH=path, PYTHONPATH=str(ROOT))
    outputs = {}
    for command in COMMANDS:
        done = subprocess.run(
            ['bash', '-euc', fewer(command)], cwd=folder, text=True,
            env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr[-3000:]
        outputs[command] = done.stdout
    return outputs


def test_all_commands_run(said):
    words = [command.split()[:2] for command in said]
    assert [' '.join(two) for two in words] == [
        'python data/dancers/draw.py', 'python data/dancers/convert.py',
        'python data/dancers/convert.py', 'mmpose-ssa check-data',
        'mim train', 'mmpose-ssa predict']
    check, = (said[command] for command in said if 'check-data' in command)
    assert '0 refused, 0 suspect, ' in check


def test_labels_become_the_people_that_were_drawn(said, folder):
    """Of labelme's and CVAT's files: keypoints, masks, boxes, order."""
    kept = [0, 9, 10, 15, 16]  # of COCO's keypoints
    for split in ('train', 'val'):
        truth = COCO(str(folder / 'data/dancers/images/annotations/'
                         f'person_keypoints_{split}2017.json'))
        found = COCO(str(folder / f'data/dancers/{split}.json'))
        by_name = {i['file_name']: i['id'] for i in found.dataset['images']}
        assert len(by_name) == len(truth.imgs) > 3
        for number, image in truth.imgs.items():
            ours = found.imgToAnns[by_name[f"{split}2017/{image['file_name']}"
                                           ]]
            theirs = [a for a in truth.imgToAnns[number] if not a['iscrowd']]
            assert len(ours) == len(theirs)
            for ann, drawn in zip(ours, theirs):
                table = [drawn['keypoints'][3 * k:3 * k + 3] for k in kept]
                assert ann['keypoints'] == [
                    x for row in table for x in (row if row[2] else (0, 0, 0))]
                assert (found.annToMask(ann) == truth.annToMask(drawn)).all()
                assert ann['area'] == found.annToMask(ann).sum()
                assert ann['num_keypoints'] == sum(r[2] > 0 for r in table)
        assert found.cats[1]['name'] == 'dancer'


def test_the_pictures_are_there(said, folder):
    results = json.loads((folder / 'predictions/predictions.json').read_text())
    assert all(r['category_id'] == 1 and len(r['keypoints']) == 15
               for r in results)
    pictures = list((folder / 'predictions').glob('*_persons.jpg'))
    assert len(pictures) == 4
    assert cv2.imread(str(pictures[0])).shape == (160, 160, 3)
    assert 'data:image/jpeg;base64,' in (folder / 'train.html').read_text()
