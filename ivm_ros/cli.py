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
`ivm`: one verb per job.

Every verb is a config dataclass and a function that takes it. They are imported when their verb
is called, so that `ivm --help` is quick and a robot needs nothing that only training does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import errno
from importlib import import_module
import os
from pathlib import Path
import sys

from rich.console import Console
from rich.table import Table

from ivm_ros.config import nearest
from ivm_ros.terminal import marked, printable
from ivm_ros.version import versions

OURS = ('ivm_ros', 'ivm_sim')


@dataclass(frozen=True)
class Verb:
    """
    One job of the command line.

    Attributes:
        module (str): Where config class and function are.
        config (str): Name of the config dataclass, which tyro turns into options.
        run (str): Name of the function; what it returns is the exit code, or a path to tell of.
        help (str): One line for `ivm --help`.
        example (str): A command line to start from.
    """

    module: str
    config: str
    run: str
    help: str
    example: str


VERBS = {
    'mask': Verb('ivm_ros.mask_files', 'MaskConfig', 'mask_files',
                 'Mask pictures by a sentence and write what a policy would see.',
                 'ivm mask photos/ "pick up the red mug" --method blur --out masked'),
    'download': Verb('ivm_ros.download', 'DownloadConfig', 'download',
                     'Fetch the weights of a large generator, or list the generators.',
                     'ivm download ivm_v1 --out weights/ivm_v1'),
    'info': Verb('ivm_ros.info', 'InfoConfig', 'info',
                 'Show versions, device, weights, ROS and OpenGL: what a bug report needs.',
                 'ivm info --json'),
    'bench cost': Verb('ivm_ros.bench_cost', 'CostConfig', 'bench_cost',
                       'Time masks over image size, batch, cameras, length of the sentence.',
                       'ivm bench cost --out cost'),
    'bench soak': Verb('ivm_ros.bench_soak', 'SoakConfig', 'soak',
                       'Stream to the node for half an hour: do speed, memory, handles stay?',
                       'ivm bench soak --minutes 30 --json soak.json'),
    'bench cameras': Verb('ivm_ros.bench_cameras', 'CamerasConfig', 'bench_cameras',
                          'Measure the node as it serves more cameras with one model.',
                          'ivm bench cameras --out cameras'),
    'bench': Verb('ivm_ros.bench', 'BenchConfig', 'bench',
                  'Time generator, deployment and node, and compare with what is promised.',
                  'ivm bench --json bench.json'),
    'export': Verb('ivm_ros.export', 'ExportConfig', 'export',
                   'Write a generator as an ONNX graph, for other runtimes.',
                   'ivm export --format onnx --out compact.onnx'),
    'train': Verb('ivm_ros.train.loop', 'TrainConfig', 'train',
                  'Train a generator on dataset folders, or go on with a stopped run.',
                  'ivm train --data data/train --validation data/validation --out runs/compact'),
    'data import': Verb('ivm_ros.data.importer', 'ImportConfig', 'import_dataset',
                        'Turn labels of IVM-Mix-1M, COCO, RefCOCO, CVAT, ... into a dataset.',
                        'ivm data import human.jsonl --layout ivm-mix --out data/human'),
    'episodes import': Verb('ivm_ros.data.episodes', 'EpisodesConfig', 'import_episodes',
                            'Turn bags or LeRobot folders into a dataset without masks.',
                            'ivm episodes import bags/monday --out data/monday'),
    'data look': Verb('ivm_ros.data.look', 'LookConfig', 'look',
                      'Draw random samples of a dataset: a picture, or a page with --html.',
                      'ivm data look data/train --html'),
    'data composite': Verb('ivm_ros.data.compose', 'CompositeConfig', 'compose',
                           'Write a dataset of named cut-outs on photographs and textures.',
                           'ivm data composite --cutouts emoji.tgz --out data/emoji'),
    'annotate': Verb('ivm_ros.annotate.pipeline', 'AnnotateConfig', 'annotate',
                     'Label the sentences of a dataset by a mixture of experts.',
                     'ivm annotate data/robot --experts compact --out data/labelled'),
    'audit': Verb('ivm_ros.audit.audit', 'AuditConfig', 'audit',
                  'Draw a page of labels for people to judge, and count what they said.',
                  'ivm audit data/labelled --n 200'),
    'eval grounding': Verb('ivm_ros.evaluate.grounding', 'GroundingConfig', 'main',
                           'Compare masks with a labelled dataset: IoU, found, per kind.',
                           'ivm eval grounding --data data/test --json grounding.json'),
    'promote': Verb('ivm_ros.promote', 'PromoteConfig', 'promote',
                    'Compare new weights with those in use, and put the better ones to use.',
                    'ivm promote runs/next --data data/mine'),
    'eval splits': Verb('ivm_ros.evaluate.splits', 'SplitsConfig', 'evaluate_splits',
                        'Measure weights on all held-out splits: JSON, table, random failures.',
                        'ivm eval splits --data splits --out weights-report'),
    'eval proposals': Verb('ivm_ros.evaluate.proposals', 'ProposalsConfig', 'evaluate_proposals',
                           'Tell apart what is chosen wrongly and what no proposal shows.',
                           'ivm eval proposals --data data/test --json proposals.json'),
    'eval benchmark': Verb('ivm_ros.evaluate.benchmark', 'BenchmarkConfig', 'benchmark',
                           'Measure on RefCOCO, ReasonSeg, V*Bench, POPE, MME or EgoThink.',
                           'ivm eval benchmark --dataset refcoco --root refcoco --json r.json'),
    'eval video': Verb('ivm_ros.evaluate.video', 'VideoConfig', 'evaluate_video',
                       'Measure masks that are carried between keyframes, and late ones.',
                       'ivm eval video --data sequences --json video.json'),
    'eval words': Verb('ivm_ros.evaluate.words', 'WordsConfig', 'evaluate_words',
                       'Tell whether words never said in training lie near what they mean.',
                       'ivm eval words --json words.json'),
    'eval capacity': Verb('ivm_ros.evaluate.capacity', 'CapacityConfig', 'evaluate_capacity',
                          'Train at several sizes alike; quality of each against arithmetic.',
                          'ivm eval capacity --data scenes --splits splits --out capacity'),
    'eval ablation': Verb('ivm_ros.evaluate.ablation', 'AblationConfig', 'evaluate_ablation',
                          'Train a recipe whole and with parts left out; what each part buys.',
                          'ivm eval ablation --variants parts.json --data scenes --out ablation'),
    'eval noise': Verb('ivm_ros.study.noise', 'NoiseConfig', 'evaluate_noise',
                       'Compare ways to learn from noisy labels, DWSL among them.',
                       'ivm eval noise --data scenes --validation val --test test --out noise'),
    'eval fuse': Verb('ivm_ros.study.fusing', 'FuseConfig', 'evaluate_fuse',
                      "Compare the rules that make one mask of several experts' masks.",
                      'ivm eval fuse --validation val --test test --out fuse'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `ivm` with the given arguments, or those of the command line; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ('-h', '--help', 'help'):
        _help(Console())
        return 0 if words else 2
    if words[0] == '--version':
        print(f'ivm_ros {versions().get("ivm_ros", "not installed")}')
        return 0
    name = next((name for name in VERBS if words[:name.count(' ') + 1] == name.split()), None)
    if name is None:
        said = ' '.join(words[:2] if words[0] in ('eval', 'data', 'episodes') else words[:1])
        hint = next((f' (did you mean {name!r}?)' for name in VERBS if name.startswith(said)),
                    nearest(said, VERBS))
        return _fail(f'ivm has no verb {said!r}{hint}; see "ivm --help"')
    return _run(name, words[name.count(' ') + 1:])


def _run(name: str, words: list[str]) -> int:
    """Import a verb, parse its options, call it; turn errors that users cause into one line."""
    verb = VERBS[name]
    try:
        import tyro

        module = import_module(verb.module)
        config = tyro.cli(getattr(module, verb.config), prog=f'ivm {name}', args=words,
                          description=f'{verb.help}\n\nexample: {verb.example}')
        result = getattr(module, verb.run)(config)
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
        return 130
    except BrokenPipeError:  # `ivm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        if (error.name or '').split('.')[0] in OURS:
            raise
        return _fail(f'"ivm {name}" needs the package {error.name}; pip install "ivm_ros[scale]" '
                     f'brings what training and measuring need')
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split('.')[0] not in OURS:
            raise  # not a message to the user but a bug
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = '; make room, then run the same command again' if full else ''
        return _fail(' '.join(str(error).split()) + hint)
    if isinstance(result, Path):
        print(f'wrote {printable(result)}')
    return result if isinstance(result, int) else 0


def _fail(message: str) -> int:
    Console(stderr=True).print(marked('error:', 'bold red', message), soft_wrap=True,
                               highlight=False)
    return 2


def _help(console: Console) -> None:
    """Print the verbs."""
    console.print('usage: ivm VERB [OPTIONS]   ("ivm VERB --help" explains them)\n', markup=False)
    console.print('Instruction-guided visual masking: a picture and a sentence in, a picture that '
                  'shows what the sentence is about out.\n', markup=False)
    table = Table.grid(padding=(0, 2))
    for name, verb in VERBS.items():
        table.add_row(f'  [bold]{name}[/]', verb.help)
    table.add_row('  [bold]--version[/]', 'Show the version.')
    console.print(table)
    examples = '\n'.join(f'  {verb.example}' for verb in VERBS.values())
    console.print(f'\nexamples:\n{examples}\n', markup=False, highlight=False, soft_wrap=True)
    console.print('On a robot: ivm_node masks a camera topic ("ros2 launch ivm_ros '
                  'ivm.launch.py"). Masking is not a safety function.', markup=False)


if __name__ == '__main__':
    sys.exit(main())
