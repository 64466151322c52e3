"""What README and docs print is true: code that runs, files that exist."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_commands_run_as_printed(code, checkout):
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    said = subprocess.run(
        ['bash', '-euc', code], cwd=checkout, text=True, check=True,
        env=dict(os.environ, PATH=path, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE).stdout
    assert said.endswith('3 persons in 1 image, see predictions\n')
    attention = {'people_attention.jpg'} if '--attention' in code else set()
    assert {f.name for f in (checkout / 'predictions').iterdir()} == {
        'people_persons.jpg', 'predictions.json'} | attention


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
