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
"""The study of capacity, in small: it trains, measures, goes on where it was, and recommends."""

from collections.abc import Callable, Iterator
import json
from pathlib import Path
import shutil

import cv2
import pytest

from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.shards import read_info, write_info
from ivm_ros.evaluate import grounding, studies
from ivm_ros.evaluate.capacity import CapacityConfig, models_of
from ivm_ros.evaluate.capacity_page import summary_of
from ivm_ros.models.checkpoint import load_checkpoint
from ivm_ros.models.compact import CompactConfig
from ivm_ros.models.flops import compact_gflops
from ivm_ros.train.config import TrainConfig

NAMES = ['64x96-16', '64x96-32', '96x128-16', '96x128-32']


@pytest.fixture(scope='module')
def folder(toy_dataset, tmp_path_factory) -> Path:
    """Give data to learn from and two splits."""
    folder = tmp_path_factory.mktemp('capacity')
    for name in ('data', 'splits/fresh', 'splits/noun'):
        shutil.copytree(toy_dataset, folder / name)
    return folder


def run(folder: Path, out: Path, steps: int = 3) -> int:
    """Run the command on networks that train in a moment."""
    return main(['eval', 'capacity', '--data', str(folder / 'data'), '--validation',
                 str(folder / 'data'), '--splits', str(folder / 'splits'), '--out', str(out),
                 '--steps', str(steps), '--widths', '16', '32', '--sizes', '64x96', '96x128',
                 '--judged', '5', '--images', '4', '--sentences', '3', '--warmup', '1',
                 '--threads', '1', '--text-cache', str(folder / 'text'), '--model.depth', '1',
                 '--model.heads', '2'])


@pytest.fixture(scope='module')
def study(folder) -> Path:
    """Run all of it once."""
    assert run(folder, folder / 'study') == 0
    return folder / 'study'


def copy(study: Path, out: Path) -> None:
    """Copy a study as if it had been made there: measurements say where the weights lie."""
    shutil.copytree(study, out)
    for path in (*out.glob('*/fresh.json'), *out.glob('*/noun.json')):
        path.write_text(path.read_text().replace(str(study), str(out)))


def kept(out: Path) -> dict:
    """Read what a study found, without what differs from run to run."""
    return {row['name']: {key: value for key, value in row.items() if key != 'sha256'}
            for row in json.loads((out / 'capacity.json').read_text())['networks']}


def times(out: Path) -> dict[str, int]:
    """List when checkpoints and measurements were written."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns
            for path in (*out.glob('*/*.safetensors'), *out.glob('*/fresh.json'),
                         *out.glob('*/noun.json'))}


@pytest.mark.slow
def test_every_size_is_trained_alike_and_measured_on_every_split(study, folder):
    figures = json.loads((study / 'capacity.json').read_text())
    rows = {row['name']: row for row in figures['networks']}
    assert list(rows) == sorted(rows, key=lambda name: rows[name]['gflops'])
    assert sorted(rows) == NAMES and figures['recommended'] in rows
    for name, row in rows.items():
        found = load_checkpoint(study / name / 'compact.safetensors')
        made = found.info['provenance']
        assert (row['steps'], made['settings']['steps']) == (3, 3) and made['margins']
        assert found.net.config == CompactConfig(row['height'], row['width'], row['dim'], 1, 2)
        assert row['gflops'] == compact_gflops(found.net.config)['compact']
        assert set(row['splits']) == {'fresh', 'noun'}
        assert row['mean_iou'] == pytest.approx(
            sum(split['mean_iou'] for split in row['splits'].values()) / 2)
    assert rows['64x96-16']['parameters'] == rows['96x128-16']['parameters'] < (
        rows['64x96-32']['parameters'])
    again = grounding.main(grounding.GroundingConfig(
        str(folder / 'splits' / 'noun'), '', str(study / NAMES[3] / 'compact.safetensors'), 5))
    row = rows[NAMES[3]]['splits']['noun']
    assert (row['mean_iou'], row['n']) == (again['target']['mean_iou'], again['target']['n'])


@pytest.mark.slow
def test_the_page_shows_table_plot_and_recommendation(study):
    text = (study / 'capacity.md').read_text()
    figures = json.loads((study / 'capacity.json').read_text())
    assert text.count('Recommended: ') == 1 and figures['recommendation'] in text
    for row in figures['networks']:
        cells = (f'{row["gflops"]:.2f}', f'{row["parameters"] / 1e6:.2f}')
        assert f'| {cells[0]} | {cells[1]} | ' in text
        assert f'| {row["splits"]["fresh"]["mean_iou"]:.3f} | ' in text
    assert '3 steps of 4 pictures with 3 sentences each' in text
    plot = cv2.imread(str(study / 'capacity.png'))
    assert plot.shape[0] > 300 and plot.shape[1] > 500 and plot.std() > 10


@pytest.mark.slow
def test_a_stopped_study_goes_on_to_the_same_figures(study, folder, tmp_path, monkeypatch, capsys):
    out, ordinary, trained = tmp_path / 'out', studies.train, []

    def stop_at_the_third(config: TrainConfig) -> Path:
        trained.append(Path(config.out).name)
        if len(trained) == 1:
            raise KeyboardInterrupt
        return ordinary(config)

    copy(study, out)
    for name in NAMES[2:]:
        shutil.rmtree(out / name)
    monkeypatch.setattr(studies, 'train', stop_at_the_third)
    assert run(folder, out) == 130
    text = (out / 'capacity.md').read_text()
    assert 'No recommendation yet: 2 of 4 networks are measured' in text
    assert json.loads((out / 'capacity.json').read_text())['recommended'] is None
    assert run(folder, out) == 0 and trained == [NAMES[2], *NAMES[2:]]
    assert kept(out) == kept(study)
    before = times(out)
    (out / NAMES[1] / 'noun.json').unlink()
    assert run(folder, out) == 0 and len(trained) == 3
    after = times(out)
    assert {name for name in after if after[name] != before[name]} == {f'{NAMES[1]}/noun.json'}
    assert kept(out) == kept(study)
    capsys.readouterr()
    assert run(folder, out, steps=4) == 2  # not the study that is there
    assert 'holds a run with other steps' in ' '.join(capsys.readouterr().err.split())


@pytest.fixture
def made_anew() -> Iterator[Callable[[Path], None]]:
    """Give a function that makes a dataset another one, until the test ends."""
    infos: dict[Path, dict] = {}

    def change(path: Path) -> None:
        infos[path] = read_info(path)
        write_info(path, {**infos[path], 'note': 'made anew'})

    yield change
    for path, info in infos.items():
        write_info(path, info)


@pytest.mark.slow
def test_what_was_made_of_other_data_is_not_taken(study, folder, made_anew, tmp_path, capsys):
    out = tmp_path / 'out'
    copy(study, out)
    before = times(out)
    assert run(folder, out) == 0 and times(out) == before
    made_anew(folder / 'splits' / 'fresh')
    assert run(folder, out) == 0
    after = times(out)
    assert {name for name in after if after[name] != before[name]} == {
        f'{name}/fresh.json' for name in NAMES}
    made_anew(folder / 'data')
    assert run(folder, out) == 2
    said = ' '.join(capsys.readouterr().err.split())
    assert 'learnt from other data' in said and 'wanted another --out' in said


def test_the_recommendation_by_hand():
    def row(name: str, gflops: float, mean: float) -> dict:
        return {'name': name, 'height': 96, 'width': 128, 'dim': 16, 'gflops': gflops,
                'mean_iou': mean, 'ci95': [mean - .02, mean + .02]}

    rows = [row('large', 4, .70), row('small', 1, .60), row('middle', 2, .69),
            row('wasteful', 3, .65)]
    found = summary_of(rows, 4)
    assert found['recommended'] == 'middle'  # .69 is within .02 of the best; .65 and .60 are not
    assert [one['name'] for one in found['networks']] == ['small', 'middle', 'wasteful', 'large']
    assert '0.690 over splits for 2.00 GFLOP' in found['recommendation']
    assert summary_of(rows[:1], 1)['recommended'] == 'large'
    assert summary_of(rows, 5)['recommended'] is None


def test_three_widths_and_two_canvases_unless_told():
    models = models_of(CapacityConfig())
    assert len(models) == 6 and len({model.dim for model in models}) == 3
    assert len({(model.height, model.width) for model in models}) == 2
    assert CompactConfig() in models


def test_a_part_of_the_networks_may_be_asked_for():
    chosen = models_of(CapacityConfig(networks=('256x352-128', '192x256-64')))
    assert [(model.height, model.dim) for model in chosen] == [(192, 64), (256, 128)]


@pytest.mark.parametrize(('settings', 'said'), [
    ({'sizes': ('192',)}, "sizes: wanted HEIGHTxWIDTH such as 192x256, got '192'"),
    ({'sizes': ('100x128',)}, 'wanted height and width that 32 divides'),
    ({'widths': (64, 64)}, 'wanted two or more networks that differ'),
    ({'widths': ()}, 'wanted two or more networks that differ, got none'),
    ({'widths': (1024,)}, 'widths'),
    ({'networks': ('192x256-64', '64x64-64')}, 'no 64x64-64 among 192x256-64, 192x256-128'),
    ({'train': TrainConfig(minutes=3)}, 'minutes: all networks start anew'),
    ({'train': TrainConfig(init='a.safetensors')}, 'init: all networks start anew'),
    ({'train': TrainConfig(model=CompactConfig(dim=64))}, 'wanted --sizes and --widths')])
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        CapacityConfig(**settings)


def test_without_splits_or_in_several_processes_nothing_is_trained(folder, tmp_path, monkeypatch,
                                                                   capsys):
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert run(folder, tmp_path / 'out') == 2
    assert 'runs in one process' in capsys.readouterr().err and not (tmp_path / 'out').exists()
    monkeypatch.delenv('WORLD_SIZE')
    assert run(tmp_path, tmp_path / 'out') == 2
    assert 'ivm-sim splits' in capsys.readouterr().err and not (tmp_path / 'out').exists()
