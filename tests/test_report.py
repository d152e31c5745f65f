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
"""The report: findings by hand, and a page of a real small evaluation."""

from html.parser import HTMLParser
import json
from pathlib import Path
import xml.etree.ElementTree as ElementTree

from PIL import Image
import pytest
from safetensors.torch import save_file

from ivm_ros.config import ConfigError
from ivm_sim.clones.config import CloneConfig
from ivm_sim.clones.net import CloneNet
from ivm_sim.evaluation.config import Cell, EvaluateConfig, ReportConfig
from ivm_sim.evaluation.episodes import Fault, Outcome
from ivm_sim.evaluation.evaluate import evaluate
from ivm_sim.evaluation.films import Film, moment
from ivm_sim.evaluation.findings import by_iou, checks, Findings
from ivm_sim.evaluation.plots import error_curves, level_bars, paper_bars
from ivm_sim.evaluation.report import write_report


def findings(**success) -> Findings:
    """Make findings with so many of ten episodes won, by column and level."""
    cells = {}
    for name, won in success.items():
        column, level = name.split('_')
        trained = {'wrong': 'masked'}.get(column, column)
        camera = {'wrong': 'wrong_instruction'}.get(column, column)
        cells[Cell('duck_in_pot', trained, camera, level,
                   'none' if column == 'raw' else 'overlay')] = {
            900_000 + number: Outcome(number < won, 9, .9 if column == 'masked' else float('nan'))
            for number in range(10)}
    return Findings(cells)


def test_the_papers_pattern_meets_every_bar_and_its_absence_does_not():
    good = checks(findings(raw_none=9, raw_many=2, masked_none=10, masked_many=9, truth_many=10,
                           wrong_many=1))
    assert [check.met for check in good] == [True, True, True, None, True]
    assert '90.0% of 100.0%: 90%' in good[2].figure
    bad = checks(findings(raw_none=8, raw_many=6, masked_none=10, masked_many=8, wrong_many=8))
    assert [check.met for check in bad] == [False] * 4
    assert checks(findings(raw_none=9)) == good[:1]


def test_success_by_iou_counts_each_episode_once():
    outcomes = [Outcome(iou > .85, 9, iou) for iou in (.1, .5, .75, .9, .93, .95, 1.0)]
    rows = by_iou(outcomes)
    assert sum(row['n'] for row in rows) == len(outcomes)
    assert [(row['low'], row['n'], row['success']) for row in rows] == [
        (0, 1, 0), (.5, 1, 0), (.7, 1, 0), (.9, 2, 1), (.95, 2, 1)]


def test_a_failure_is_shown_at_its_worst_mask():
    film = Film([], [None] * 4, [Fault(.9, False, False), Fault(.3, True, False), None,
                                 Fault(.2, False, True)], False, '')
    assert moment(film, 'target_missed') == 1
    assert moment(film, 'decoy_kept') == moment(film, 'policy') == 3


@pytest.mark.slow
def test_plots_are_svg_and_hold_the_figures():
    found = findings(raw_none=9, raw_many=2, masked_none=10, masked_many=8)
    for plot in (paper_bars(found), level_bars(found)):
        assert ElementTree.fromstring(plot).tag.endswith('svg')
        assert {'0.90', '0.20', '0.80'} <= set(ElementTree.fromstring(plot).itertext())
    assert error_curves(found, 'many') == '' and paper_bars(found) == paper_bars(found)


@pytest.mark.parametrize(('text', 'words'), [('{}', 'wanted a report'), ('x', 'wanted a report')])
def test_what_is_no_report_is_refused(tmp_path, text, words):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(ConfigError, match=words):
        write_report(ReportConfig((str(tmp_path / 'x.json'),), str(tmp_path)))
    with pytest.raises(ConfigError, match='wanted reports'):
        ReportConfig(())


class Links(HTMLParser):
    """Collects what a page shows and how its elements nest."""

    def __init__(self, text: str):
        super().__init__()
        self.pictures: list[str] = []
        self.headings = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.pictures += [value for name, value in attrs if (tag, name) == ('img', 'src')]
        self.headings += tag == 'h2'


@pytest.mark.slow
def test_a_page_of_a_real_evaluation(tmp_path):
    net = CloneNet(CloneConfig(size=32, points=8, hidden=16))
    for name in ('raw', 'masked'):
        save_file(net.state_dict(), tmp_path / f'{name}.safetensors')
        (tmp_path / f'{name}.json').write_text(json.dumps(
            {'model': {'size': 32, 'points': 8, 'hidden': 16}, 'camera': name}))
    common = {'weights': str(tmp_path), 'episodes': 1, 'size': 64, 'tasks': ('duck_in_pot',)}
    for name, levels in (('raw', ('many',)), ('masked', ('none', 'many'))):
        evaluate(EvaluateConfig(**common, clutter=levels, columns=(name,),
                                json=str(tmp_path / f'{name}.report.json')))
    evaluate(EvaluateConfig(**common, clutter=('many',), columns=('masked',),
                            errors=('wider=4',), json=str(tmp_path / 'wider.report.json')))
    out = tmp_path / 'report'
    page = write_report(ReportConfig(
        tuple(str(tmp_path / f'{name}.report.json') for name in ('raw', 'masked', 'wider')),
        str(out), weights=str(tmp_path), failures=1))
    found = Links(page.read_text())
    films = [path for path in found.pictures if path.endswith('.gif')]
    assert len(films) == 3 and found.headings >= 6
    for path in found.pictures:
        with Image.open(out / path) as picture:
            picture.load()
    text = (out / 'README.md').read_text()
    assert all(f'| {name} |' in text for name in ('wider=4', 'none', 'many'))
    assert 'ivm-sim' not in text.split('|')[0]
    lines = text.splitlines()
    for number, line in enumerate(lines):  # every table has as many columns below as above
        if line.startswith('|---'):
            assert lines[number - 1].count('|') == line.count('|') == lines[number + 1].count('|')


def test_the_readme_shows_the_results_that_were_measured():
    root = Path(__file__).parents[1]
    report = json.loads((root / 'docs/results/experiment/matrix.json').read_text())
    shown = (root / 'README.md').read_text()
    for level in ('none', 'few', 'many', 'moving', 'look', 'all'):
        rows = {row['trained_on']: row for row in report['pooled'] if row['clutter'] == level}
        figures = [rows[name]['success'] for name in ('raw', 'masked', 'truth', 'raw_cluttered')]
        assert all(row['n'] == 100 for row in rows.values())
        wanted = f'(`{level}`) | ' + ' | '.join(f'{value:.2f}' for value in figures) + ' |'
        assert wanted in shown, f'README.md lacks {wanted!r}'
