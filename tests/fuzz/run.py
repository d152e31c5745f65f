# Copyright 2026 The ivm_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
Fuzz one target, led by coverage: `python tests/fuzz/run.py TARGET --runs 20000`.

Needs atheris (`pip install "ivm_ros[fuzz]"`). Bytes that end in anything but a named error stop
the run with a stack and are kept as `crash-*` in the folder of `--findings`; `--repeat FILE` runs
them again, without atheris. A run also ends where one input takes 2 GB or 60 s.
"""

import argparse
import atexit
import os
from pathlib import Path
import sys
import tempfile
import warnings

sys.path.insert(0, str(Path(__file__).parent))
LIMITS = ['-rss_limit_mb=4096', '-malloc_limit_mb=2048', '-timeout=60', '-print_final_stats=1']


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('target', nargs='?')
    parser.add_argument('--list', action='store_true', help='name the targets')
    parser.add_argument('--runs', type=int, default=20_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--findings', type=Path, default=Path('fuzz'))
    parser.add_argument('--repeat', type=Path)
    options = parser.parse_args()
    if options.list or not options.target:
        from targets import targets

        print(*targets())
        return
    if options.repeat:
        from targets import target

        found = target(options.target)
        try:
            found.run(options.repeat.read_bytes())
        except found.named as error:
            print(f'named: {type(error).__name__}: {error}')
        return
    import atheris

    os.environ['OPENCV_LOG_LEVEL'] = 'SILENT'
    warnings.simplefilter('ignore')
    with atheris.instrument_imports(include=['ivm_ros', 'rosbags', 'targets', 'PIL']):
        import targets as fuzzed
        # Within, as a target may import what it reads with when it is made.
        found = fuzzed.target(options.target)

    atexit.register(fuzzed.clean)

    def once(data: bytes) -> None:
        try:
            found.run(data)
        except found.named:
            pass

    options.findings.mkdir(parents=True, exist_ok=True)
    corpus = Path(tempfile.mkdtemp(prefix='ivm-fuzz-corpus-'))
    for number, seed in enumerate(found.seeds):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([sys.argv[0], f'-atheris_runs={options.runs}', f'-seed={options.seed}', *LIMITS,
                   f'-artifact_prefix={options.findings}/{options.target}-', '-max_len=8192',
                   str(corpus)], once)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
