"""The explorer's page, and a browser to open it."""
import cv2
import pytest
from factories import ROOT
from shared.browser import Browser

from mmpose_ssa.apis.explore import page
from mmpose_ssa.apis.inferencer import SSAInferencer


@pytest.fixture(scope='module')
def browser():
    with Browser() as found:
        yield found


@pytest.fixture
def browse(browser, tmp_path):
    """What a piece of JavaScript returns in a page, on a screen."""
    def browse(text, code='', **screen):
        file = tmp_path / 'page.html'
        file.write_text(text)
        browser.look(**screen)
        browser.open(file)
        report = browser.run(code)
        assert not browser.complaints
        return report
    return browse


@pytest.fixture(scope='module')
def inferencer():
    return SSAInferencer('demo', device='cpu')


@pytest.fixture(scope='module')
def image():
    """Three people on an image that is not square."""
    return cv2.imread(str(ROOT / 'docs/images/people.jpg'))[:300]


@pytest.fixture(scope='module')
def text(inferencer, image):
    return page(inferencer, image, 'people.jpg')
