"""A headless Chromium: opens pages, as a desktop or a phone, by real events.

Spoken to over two pipes in its DevTools protocol, so that it needs no driver.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

EXECUTABLE = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome'))), None)
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-extensions', '--disable-dev-shm-usage',
         '--disable-background-networking', '--remote-debugging-pipe')
PHONE = dict(width=390, height=844, phone=True)
CODES = dict(Enter=13, Escape=27, Delete=46, Backspace=8, Tab=9, ArrowLeft=37,
             ArrowUp=38, ArrowRight=39, ArrowDown=40, Home=36, End=35)


class Browser:
    """One window of Chromium; closed by ``with`` or :meth:`close`.

    Attributes:
        complaints: Errors that pages threw or logged since the last `open`.
    """

    def __init__(self) -> None:
        if EXECUTABLE is None:
            raise FileNotFoundError('no chromium is installed')
        self.complaints: List[str] = []
        self._calls, self._unread = 0, b''
        self._profile = tempfile.mkdtemp(prefix='browser')
        there, self._to = _pipe()
        self._from, back = _pipe()
        # Chromium reads descriptor 3 and writes descriptor 4
        shell = f'exec {EXECUTABLE} "$@" 3<&{there} 4>&{back}'
        self._process = subprocess.Popen(
            ['bash', '-c', shell, 'bash', *FLAGS,
             f'--user-data-dir={self._profile}', 'about:blank'],
            pass_fds=(there, back), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(there)
        os.close(back)
        target = next(t for t in self._call('Target.getTargets')[
            'targetInfos'] if t['type'] == 'page')['targetId']
        self._session: Optional[str] = None
        self._session = self._call('Target.attachToTarget', targetId=target,
                                   flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log'):
            self._call(f'{domain}.enable')

    def __enter__(self) -> 'Browser':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and remove its profile."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    # --- pages ---------------------------------------------------------------

    def look(self, width: int = 1280, height: int = 800, phone: bool = False,
             dark: bool = False) -> None:
        """Be a screen of so many CSS pixels.

        Args:
            width: Of the viewport.
            height: Of the viewport.
            phone: Three device pixels for each, touched, not pointed at.
            dark: Prefer dark colors.
        """
        self._call('Emulation.setDeviceMetricsOverride', width=width,
                   height=height, deviceScaleFactor=3 if phone else 1,
                   mobile=phone)
        touch = dict(maxTouchPoints=1) if phone else {}
        self._call('Emulation.setTouchEmulationEnabled', enabled=phone,
                   **touch)
        self._call('Emulation.setEmulatedMedia', features=[dict(
            name='prefers-color-scheme', value='dark' if dark else 'light')])

    def open(self, file: Path, timeout: float = 60) -> float:
        """Open a page and wait until ``document.body.dataset.ready`` is set.

        Returns:
            Seconds from the navigation to that moment.
        """
        self.complaints.clear()
        begin = time.perf_counter()
        self._call('Page.navigate', url=Path(file).resolve().as_uri())
        while not self.run('return document.body?.dataset.ready === "yes" '
                           f'&& location.href.endsWith({file.name!r})'):
            if time.perf_counter() - begin > timeout:
                raise TimeoutError(f'{file} is not ready: {self.complaints}')
            time.sleep(.005)
        return time.perf_counter() - begin

    def run(self, code: str) -> Any:
        """What the body of an asynchronous function returns in the page.

        Raises:
            RuntimeError: If it throws.
        """
        done = self._call(
            'Runtime.evaluate', expression=f'(async () => {{ {code} }})()',
            awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in done:
            raise RuntimeError(_said(done['exceptionDetails']))
        return done['result'].get('value')

    def screenshot(self, file: Path) -> None:
        """Write what is seen as PNG."""
        Path(file).write_bytes(base64.b64decode(
            self._call('Page.captureScreenshot')['data']))

    # --- hands ---------------------------------------------------------------

    def mouse(self, kind: str, x: float, y: float) -> None:
        """`Moved`, `Pressed` or `Released` at a point of the viewport."""
        more = {} if kind == 'Moved' else dict(button='left', clickCount=1)
        self._call('Input.dispatchMouseEvent', type=f'mouse{kind}', x=x, y=y,
                   **more)

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse."""
        for kind in ('Moved', 'Pressed', 'Released'):
            self.mouse(kind, x, y)

    def touch(self, *places: Tuple[float, float]) -> None:
        """A finger from the first place over the others, then lifted."""
        for i, (x, y) in enumerate(places):
            self._call('Input.dispatchTouchEvent',
                       type='touchMove' if i else 'touchStart',
                       touchPoints=[dict(x=x, y=y)])
        self._call('Input.dispatchTouchEvent', type='touchEnd',
                   touchPoints=[])

    def key(self, name: str) -> None:
        """Press a key by its name (``m``, ``Enter``, ``ArrowLeft``)."""
        key: Dict[str, Any] = dict(
            key=name, windowsVirtualKeyCode=CODES.get(name, ord(
                name[0].upper())))
        text = {'Enter': '\r'}.get(name, name if len(name) == 1 else None)
        if text:
            key['text'] = text
        self._call('Input.dispatchKeyEvent',
                   type='keyDown' if text else 'rawKeyDown', **key)
        self._call('Input.dispatchKeyEvent', type='keyUp', **key)

    # --- protocol ------------------------------------------------------------

    def _call(self, method: str, **params: Any) -> dict:
        self._calls += 1
        message = dict(id=self._calls, method=method, params=params)
        if getattr(self, '_session', None):
            message['sessionId'] = self._session
        os.write(self._to, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == self._calls:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]}')
                return answer['result']
            self._note(answer)

    def _read(self, timeout: float = 60) -> dict:
        while b'\0' not in self._unread:
            ready, _, _ = select.select([self._from], [], [], timeout)
            more = os.read(self._from, 2**20) if ready else b''
            if not more:
                raise ConnectionError('Chromium no longer answers')
            self._unread += more
        text, self._unread = self._unread.split(b'\0', 1)
        return json.loads(text)

    def _note(self, event: dict) -> None:
        params = event.get('params', {})
        if event.get('method') == 'Runtime.exceptionThrown':
            self.complaints.append(_said(params['exceptionDetails']))
        elif event.get('method') == 'Log.entryAdded':
            if params['entry']['level'] == 'error':
                self.complaints.append(params['entry']['text'])


def _pipe() -> Tuple[int, int]:
    """A pipe whose ends have numbers above those that a shell moves."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def _said(details: dict) -> str:
    return details.get('exception', {}).get('description', details['text'])
