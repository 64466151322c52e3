"""On which machine, with which versions, something was measured."""
import platform
from pathlib import Path

import mmpose
import torch


def machine() -> str:
    """Versions, the processor and the GPU if there is one, in words."""
    versions = (f'Python {platform.python_version()}, '
                f'PyTorch {torch.__version__}, MMPose {mmpose.__version__}')
    threads = torch.get_num_threads()
    gpu = (f' and {torch.cuda.get_device_name()}'
           if torch.cuda.is_available() else '')
    return (f'{versions}, {threads} thread{"s" * (threads > 1)} of '
            f'{processor()}{gpu}')


def processor() -> str:
    """The name of the CPU as far as the system knows it."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()
