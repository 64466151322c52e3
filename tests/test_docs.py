"""What README and docs print is true: code that runs, files that exist."""
import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import COCO_NAMES

from mmpose_ssa import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
# a fenced block under <!-- run --> is run as it is printed
SNIPPET = re.compile(r'^<!-- run(: slow)? -->\n```(bash|python)\n(.*?)^```$',
                     re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')


def snippets(kind: str) -> list:
    return [
        pytest.param(match[3], id=f'{page.relative_to(ROOT)}-{i}',
                     marks=[pytest.mark.slow] * bool(match[1]))
        for page in PAGES
        for i, match in enumerate(SNIPPET.finditer(page.read_text()))
        if match[2] == kind]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder like a checkout, in which what commands write is lost."""
    for name in ('configs', 'docs', 'mmpose_ssa', 'tools', 'weights'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('code', snippets('python'))
def test_python_runs_as_printed(code, checkout, capsys):
    """And prints what the comments beside its print() say."""
    exec(compile(code, 'snippet', 'exec'), {})
    printed = re.findall(r'^ *print\(.*\) +# (.*)$', code, re.MULTILINE)
    assert printed
    assert capsys.readouterr().out.splitlines()[-len(printed):] == printed


@pytest.mark.parametrize('code', sorted({p.values[0]: p for p in snippets(
    'bash')}.values(), key=lambda p: p.id))
def test_commands_run_as_printed(code, checkout, capsys):
    # in this process, which has imported PyTorch; test_train_own.py and
    # test_distributions.py run what is installed
    name, *arguments = shlex.split(code)
    assert name == 'mmpose-ssa'
    assert not cli.main(arguments)
    assert capsys.readouterr().out.endswith(
        '3 persons in 1 image, see predictions\n')
    attention = {'people_attention.jpg'} if '--attention' in code else set()
    assert {f.name for f in (checkout / 'predictions').iterdir()} == {
        'people_persons.jpg', 'predictions.json'} | attention
    # and the picture that the page shows is the one that is made
    shown, made = (cv2.imread(path).astype(int) for path in (
        'docs/images/people_found.jpg', 'predictions/people_persons.jpg'))
    assert np.abs(shown - made).mean() < .5


def run_block(page: str, words: str) -> dict:
    """Run the one Python block of a page with these words; its names."""
    blocks = [block for block in re.findall(
        r'^```python\n(.*?)^```$', (ROOT / page).read_text(),
        re.MULTILINE | re.DOTALL) if words in block]
    assert len(blocks) == 1
    names: dict = {}
    exec(compile(blocks[0], page, 'exec'), names)
    return names


def test_what_the_api_names_is_there(checkout):
    names = run_block('docs/api/index.md', 'import decode')
    assert all(map(callable, (names[name] for name in (
        'SSAInferencer', 'decode', 'diagnose', 'write_dataset', 'Tracker'))))


def test_the_diagnosis_in_python(checkout, capsys):
    points = [[20 * k, 15 * k, 2] for k in range(1, 18)]
    ann = dict(id=1, image_id=1, category_id=1, iscrowd=0, num_keypoints=17,
               keypoints=sum(points, []), area=6e4, bbox=[20, 15, 320, 240])
    (checkout / 'annotations.json').write_text(json.dumps(dict(
        images=[dict(id=1, width=400, height=300, file_name='1.jpg')],
        categories=[dict(id=1, name='person', keypoints=list(
            COCO_NAMES))], annotations=[ann])))
    points[0][0] += 300  # a miss
    (checkout / 'results.json').write_text(json.dumps([dict(
        image_id=1, category_id=1, score=1., keypoints=sum(points, []))]))
    diagnosis = run_block('docs/diagnosis.md', 'diagnose(')['diagnosis']
    assert str(diagnosis.ap) in capsys.readouterr().out
    assert diagnosis.shares['good'] == pytest.approx(16 / 17)
    assert diagnosis.shares['miss'] == pytest.approx(1 / 17)


def test_cutting_the_annotations_of_42_images(checkout):
    folder = checkout / 'data/coco/annotations'
    folder.mkdir(parents=True)
    (checkout / 'ids.txt').write_text('790 30752\n551757')
    everything = dict(
        categories=[dict(id=1, name='person')],
        images=[dict(id=i) for i in (790, 791, 551757)],
        annotations=[dict(id=1, image_id=790), dict(id=2, image_id=791)])
    (folder / 'person_keypoints_train2017.json').write_text(
        json.dumps(everything))
    run_block('docs/results.md', 'ids.txt')
    assert json.loads((checkout / 'person_keypoints_42.json').read_text()) == \
        dict(categories=everything['categories'],
             images=[dict(id=790), dict(id=551757)],
             annotations=[dict(id=1, image_id=790)])


def test_mmposes_inferencer_as_printed(checkout):
    result = run_block('docs/guide/predict.md', 'MMPoseInferencer')['result']
    persons, = result['predictions']
    assert len(persons) == 3
    height, width = cv2.imread('docs/images/people.jpg').shape[:2]
    assert all(p['mask']['size'] == [height, width] for p in persons)


def test_ids_of_a_video_as_printed(checkout, capsys):
    frame = np.zeros((160, 160, 3), np.uint8)
    writer = cv2.VideoWriter(
        'walk.mp4', cv2.VideoWriter_fourcc(*'mp4v'), 25, frame.shape[:2])
    for _ in range(2):
        writer.write(frame)
    writer.release()
    run_block('docs/guide/video.md', 'track=True')
    assert re.findall(r'^(\d) \[', capsys.readouterr().out,
                      re.MULTILINE) == ['0', '1']


def test_snippets_are_found():
    assert len(snippets('bash')) >= 2 and len(snippets('python')) >= 2


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for match in LINK.finditer(page.read_text()):
        target = (match[1] or match[2]).partition('#')[0]
        if target and '://' not in target:
            assert (page.parent / target).is_file(), target


@pytest.mark.parametrize('page', PAGES[1:],
                         ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_the_site_stay_in_it(page):
    for match in LINK.finditer(page.read_text()):
        target = (match[1] or match[2]).partition('#')[0]
        if '://' not in target:
            assert (page.parent / target).resolve().is_relative_to(
                ROOT / 'docs'), target


def anchors(page: Path) -> set:
    """The headings as the site and GitHub write them into addresses."""
    text = re.sub(r'^```.*?^```$', '', page.read_text(),
                  flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r'\s+', '-', re.sub(r'[^\w\s-]', '', heading).strip().lower())
        for heading in re.findall(r'^#+ (.+)$', text, re.MULTILINE)}


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_headings(page):
    for match in LINK.finditer(page.read_text()):
        target, _, anchor = (match[1] or match[2]).partition('#')
        if anchor and '://' not in target:
            assert anchor in anchors(
                page.parent / target if target else page), anchor


@pytest.mark.parametrize('page', [*PAGES, ROOT / 'CONTRIBUTING.md'],
                         ids=lambda p: str(p.relative_to(ROOT)))
def test_named_files_exist(page):
    named = re.findall(
        r'(?<![\w./])((?:configs|docs|mmpose_ssa|requirements|tests|tools)/[\w./-]+'
        r'\.(?:md|py|sh|txt))\b', page.read_text())
    examples = {'configs/ssa/my_people.py', 'configs/ssa/my_keypoints.py',
                'configs/_base_/datasets/crowdpose.py'}  # the last is MMPose's
    for name in set(named) - examples:
        assert (ROOT / name).exists(), name


def test_the_way_from_paper_to_code_names_what_is_there():
    page = (ROOT / 'docs/method.md').read_text()
    found = re.findall(r'`([\w/]+/\w+\.py)`: ((?:`\w+`(?:, |))+)', page)
    assert len(found) > 15
    for file, names in found:
        code = (ROOT / 'mmpose_ssa' / file).read_text()
        for name in re.findall(r'`(\w+)`', names):
            assert re.search(rf'(def|class) {name}\b', code), (file, name)


def test_the_front_page_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 80


def test_every_page_is_in_the_navigation():
    nav = (ROOT / 'mkdocs.yml').read_text()
    for page in PAGES[1:]:
        assert str(page.relative_to(ROOT / 'docs')) in nav


def test_every_config_is_in_the_model_index():
    from modelindex.load_model_index import load
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    listed = {model.config: model.name for model in index.models}
    assert listed == {
        str(path.relative_to(ROOT)): path.stem
        for path in (ROOT / 'configs').glob('[!_]*/*.py')}
    for model in index.models:
        if model.weights:
            assert (ROOT / model.weights).is_file()


def test_the_citation_has_the_version_of_the_package():
    import mmpose_ssa
    assert (f'\nversion: {mmpose_ssa.__version__}\n'
            in (ROOT / 'CITATION.cff').read_text())
