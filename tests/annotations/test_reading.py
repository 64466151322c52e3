"""JSON is UTF-8 whatever the locale, and errors name the file."""
import json
import os
import subprocess
import sys

import pytest
from factories import ROOT

from mmpose_ssa.annotations.reading import parse_json, read_json

NAME = '人物 é.jpg'


@pytest.mark.parametrize('encoding', [
    'utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_unicode_is_read(tmp_path, encoding):
    path = tmp_path / 'a.json'
    path.write_bytes(json.dumps([NAME], ensure_ascii=False).encode(encoding))
    assert read_json(path) == [NAME]


def test_the_file_is_named(tmp_path):
    (tmp_path / 'cut.json').write_text('[1, ')
    with pytest.raises(ValueError, match='cut.json'):
        read_json(tmp_path / 'cut.json')


def test_the_locale_does_not_matter(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps([NAME], ensure_ascii=False), encoding='utf-8')
    code = ('import locale, sys\n'
            'from mmpose_ssa.annotations.reading import read_json\n'
            'print(locale.getpreferredencoding(), *map(ascii, '
            'read_json(sys.argv[1])))')
    environment = dict(os.environ, LC_ALL='C', PYTHONCOERCECLOCALE='0',
                       PYTHONUTF8='0')
    said = subprocess.run(
        [sys.executable, '-c', code, str(path)], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=True).stdout
    assert said.startswith('ANSI') and ascii(NAME) in said


@pytest.mark.parametrize('content, words', [
    (b'', 'x.json is empty'), (b' \n', 'x.json is empty'),
    (b'{"images": [', r'x.json is not JSON \(.*damaged'),
    ('["é"]'.encode('latin-1'), r'x.json is not JSON in UTF-8 \(.*save it'),
    (b'[' * 100_000, r'x.json is not JSON \(.*recursion'),
    (b'[' + b'1' * 5000 + b']', r'x.json is not JSON \(.*digits'),
])
def test_what_is_no_json_is_named(content, words):
    with pytest.raises(ValueError, match=words):
        parse_json(content, 'x.json')


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.json does not exist'):
        read_json(tmp_path / 'none.json')
