"""The explorer's page in a real browser: its size, its opening, its pace."""
import tempfile
from pathlib import Path
from statistics import median
from typing import Dict, List, Optional

import cv2
import numpy as np
from mmengine.config import Config

from mmpose_ssa.apis.explore import page
from mmpose_ssa.apis.inferencer import SSAInferencer, bundled
from mmpose_ssa.synthetic.scene import draw_scene

from .report import Table

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# The pointer comes to a place whose row was never asked for. Script: until
# what it changes is drawn to the canvas. Frames: between two pictures.
MOVES = """
const box = canvas.getBoundingClientRect(), script = [], frames = [];
const tick = () => new Promise(requestAnimationFrame);
let last = await tick();
for (let i = 0; i < COUNT; i++) {
  const at = [(i * 0.618034) % 1, (i * 0.754878) % 1];
  canvas.dispatchEvent(new PointerEvent('pointermove', {
    clientX: box.left + at[0] * box.width,
    clientY: box.top + at[1] * box.height}));
  const begin = performance.now();
  follow();
  script.push(performance.now() - begin);
  const now = await tick();
  frames.push(now - last);
  last = now;
}
return {script, frames};
"""
REGROUPINGS = """
const times = [];
for (let i = 0; i < COUNT; i++) {
  const begin = performance.now();
  regroup();
  times.push(performance.now() - begin);
}
return {times, persons: state.persons.length,
  candidates: model.candidates.types.length};
"""


def measure(quick: bool, data_root: Optional[str] = None) -> List[Table]:
    """Open pages in Chromium and move over them.

    Args:
        quick: The demo's page alone, once.
        data_root: Folder of photos; a synthetic scene without it.

    Raises:
        FileNotFoundError: If no Chromium is installed.
    """
    from shared.browser import Browser
    from tqdm import tqdm
    cases = {'`demo`': SSAInferencer('demo', device='cpu')}
    if not quick:
        cases.update(_large())
    rows: List[list] = []
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        browser.look()
        for name, inferencer in tqdm(cases.items(), 'explorer', leave=False):
            size = tuple(inferencer.cfg.codec.input_size)
            file = Path(folder) / f'{len(rows)}.html'
            text = page(inferencer, _image(data_root, max(size)), 'image.jpg')
            file.write_text(text)
            repeats = 1 if quick else 5
            opened = [browser.open(file) for _ in range(repeats)]
            count = 5 if quick else 60
            moves: Dict[str, list] = browser.run(
                MOVES.replace('COUNT', str(count)))
            groups = browser.run(REGROUPINGS.replace('COUNT', str(repeats)))
            rows.append([
                name, f'{size[0]}²', len(text) / 1e6, median(opened),
                median(moves['script']), median(moves['frames']),
                float(np.percentile(moves['frames'], 95)),
                groups['candidates'], median(groups['times'])])
    return [Table(
        'The page of `mmpose-ssa explore` in Chromium',
        'A window of 1280 x 800 pixels without a GPU. Open: from the address '
        'to persons drawn. Move: the pointer comes to a place that was not '
        'asked for before; milliseconds of script, and between two frames, '
        'of which a screen shows 60 per second. Regrouping is what a slider '
        'starts.',
        ('page', 'input', 'MB', 'open, s', 'move, ms', 'frame, ms',
         '95 % of frames, ms', 'candidates', 'regrouping, ms'), rows)]


def _large() -> Dict[str, SSAInferencer]:
    """The photo weights as bundled and at 640 pixels; the paper's model."""
    config, weights = bundled('photos')
    with tempfile.TemporaryDirectory() as folder:
        larger = Path(folder) / 'larger.py'
        larger.write_text(
            f'_base_ = [{str(config)!r}]\n'
            'from mmpose_ssa.engine.config import refit\n\n'
            'refit(_base_, dict(input_size=(640, 640), '
            'heatmap_size=(160, 160)))\n')
        return {
            '`photos`': SSAInferencer('photos', device='cpu'),
            '`photos`, larger': SSAInferencer(
                str(larger), str(weights), 'cpu'),
            '`ssa_r101_640`, random weights': _random(
                Config.fromfile(CONFIGS / 'ssa/ssa_r101_640.py'), folder)}


def _random(cfg: Config, folder: str) -> SSAInferencer:
    """A model whose heatmaps have many peaks: the most that a page holds."""
    import torch
    from mmpose.registry import MODELS
    torch.manual_seed(0)
    cfg.model.backbone.init_cfg = None
    cfg.codec.score_threshold = .05
    cfg.model.head.decoder.score_threshold = .05
    model = MODELS.build(dict(cfg.model, _scope_='mmpose'))
    torch.nn.init.normal_(model.head.final_layer.weight, std=.05)
    file = Path(folder) / 'random.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), file)
    return SSAInferencer(cfg, str(file), 'cpu')


def _image(data_root: Optional[str], side: int) -> np.ndarray:
    """A photo, or a scene, whose longer side fills the input."""
    if data_root is None:
        return draw_scene(0, side).image
    file = sorted(Path(data_root).glob('*.jpg'))[0]
    image = cv2.imread(str(file))
    factor = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=factor, fy=factor)
