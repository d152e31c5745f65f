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
"""What a stranger wrote is text wherever it is shown: on every page, in a terminal, in a log."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jinja2
from jinja2 import nodes
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from ivm_ros.audit.page import page_of
from ivm_ros.audit.sample import Item
from ivm_ros.cli import main
from ivm_ros.data.look import look, LookConfig
from ivm_ros.data.shards import read_rows, write_info, write_shard
from ivm_ros.evaluate.failures import Failures, write_page
from ivm_ros.evaluate.gallery import Gallery, Shown, write_report
from ivm_ros.evaluate.report import print_grounding
from ivm_ros.evaluate.tables import print_tables
from ivm_ros.promote import print_comparison
from ivm_ros.sample import Mask, Sample
from ivm_ros.terminal import marked, PlainConsole, printable
from ivm_ros.work import progress_of
from ivm_sim.cli import main as sim_main
from ivm_sim.demo_summary import show

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / 'ivm_ros').rglob('*.html.j2')),
         *sorted((ROOT / 'sim').rglob('*.html.j2'))]
TAGS = '<script>alert(1)</script><img src=x onerror=alert(2)>'
HOSTILE = f'{TAGS}"\' [bold red]x[/] [/nope] :smile: \x1b[31mred\x1b]0;title\x07 \u202eabc'
CONTROL = '\x1b\x07\u202e'


class Page(HTMLParser):
    """Tags, attributes that run code, and texts of a page, as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.wrong, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.wrong += [name for name, value in attrs if name.startswith('on')
                       or (value or '').strip().lower().startswith('javascript:')]

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.texts.append(data)


def is_harmless(text: str, scripts: int = 0, shown: bool = True) -> bool:
    """Tell whether hostile text came out as text, on a page with so many scripts of ours."""
    page = Page(text)
    return page.tags.count('script') == scripts and not page.wrong and (
        not shown or any(TAGS in part for part in page.texts))


def rows_said(folder: Path, toy_dataset: Path) -> Path:
    """Write a dataset that says hostile things wherever it says anything."""
    rows = [replace(row, instruction=HOSTILE, kind=HOSTILE, source=HOSTILE, annotator=HOSTILE,
                    id=f'{number}{TAGS}-0') for number, row in enumerate(read_rows(toy_dataset))]
    write_shard(folder / 'shard-0.parquet', rows)
    write_info(folder, {'command': HOSTILE, 'words': [HOSTILE], 'seed': 1})
    return folder


def test_the_page_of_a_dataset(toy_dataset, tmp_path):
    folder = rows_said(tmp_path / '<script>alert(3)<', toy_dataset)
    page = look(LookConfig(str(folder), str(tmp_path / 'x.html'), html=True))
    text = page.read_text(encoding='utf-8')
    assert is_harmless(text) and 'alert(3)' in text


def test_the_page_of_an_audit(toy_dataset, tmp_path):
    folder = rows_said(tmp_path / 'data', toy_dataset)
    row = next(iter(read_rows(folder)))
    item = Item(row, *[HOSTILE] * (len(Item.__dataclass_fields__) - 1))
    text = page_of([item], HOSTILE, 'a' * 64, 1)
    assert is_harmless(text, scripts=2, shown=False)
    data = Page(text).texts
    assert any('\\u003cscript\\u003ealert(1)' in part for part in data)
    # What the page's own script shows of it, it sets as text.
    source = (ROOT / 'ivm_ros' / 'audit' / 'page.html.j2').read_text()
    assert not {'innerHTML', 'outerHTML', 'insertAdjacentHTML', 'document.write', 'eval('} & {
        word for word in ('innerHTML', 'outerHTML', 'insertAdjacentHTML', 'document.write',
                          'eval(') if word in source}


def test_the_page_of_failures(tmp_path):
    empty = np.zeros((40, 40), np.uint8)
    failures = Failures(3)
    failures.add(Sample('x', np.zeros((40, 40, 3), np.uint8), HOSTILE, HOSTILE, empty, empty,
                        True), Mask(empty.astype(np.float32), empty.astype(np.float32), .5), 0.0)
    write_page(tmp_path / 'x.html', HOSTILE, HOSTILE, {HOSTILE: failures})
    assert is_harmless((tmp_path / 'x.html').read_text(encoding='utf-8'))


def test_the_page_of_a_benchmark(tmp_path, capsys):
    gallery = Gallery(1)
    gallery.add(1.0, lambda: Shown(HOSTILE, HOSTILE, 'AAAA'))
    tables = [{'title': HOSTILE, 'head': [HOSTILE], 'rows': [[HOSTILE]]}]
    lost = [{'name': HOSTILE, 'why': HOSTILE}]
    figures = {'command': HOSTILE, 'lost': lost, 'failed': lost}
    write_report(tmp_path / 'x.html', HOSTILE, figures, tables, gallery)
    assert is_harmless((tmp_path / 'x.html').read_text(encoding='utf-8'))
    print_tables(tables, figures)
    is_shown_as_it_stands(capsys.readouterr().out, 2)


def test_templates_escape_all_but_our_own_plots():
    """`safe` stands only behind what matplotlib drew, and every value goes through escaping."""
    assert len(PAGES) == 6, 'a new page: test it here'
    allowed = {'paper_bars', 'level_bars', 'iou_bars', 'plot'}
    for path in PAGES:
        tree = jinja2.Environment(autoescape=True).parse(path.read_text(encoding='utf-8'))
        for found in tree.find_all(nodes.Filter):
            assert found.name != 'safe' or (
                found.node.name in allowed and path.name == 'index.html.j2'), path
        assert not list(tree.find_all(nodes.ScopedEvalContextModifier)), path
    for path in (ROOT / 'ivm_ros' / 'study').glob('*.j2'):
        page = jinja2.Environment(autoescape=True).parse(path.read_text(encoding='utf-8'))
        assert page is not None


def test_a_report_of_the_experiment_in_both_forms():
    """One environment makes its pages and escapes HTML; its Markdown escapes the title."""
    from ivm_sim.evaluation import report

    source = Path(report.__file__).read_text()
    assert "autoescape=jinja2.select_autoescape(('html.j2',))" in source
    choose = jinja2.select_autoescape(('html.j2',))
    assert choose('index.html.j2') and not choose('README.md.j2')
    jinja = jinja2.Environment(autoescape=choose)
    text = (ROOT / 'sim' / 'ivm_sim' / 'assets' / 'README.md.j2').read_text()
    title = next(line for line in text.splitlines() if line.startswith('# '))
    assert '<script' not in jinja.from_string(title).render(title=HOSTILE)


# --- Terminal -----------------------------------------------------------------------------------

def is_shown_as_it_stands(text: str, least: int = 1) -> None:
    """Check that nothing hostile was obeyed, and that markup was shown, not swallowed."""
    assert not set(CONTROL) & set(text)
    joined = ''.join(text.split())  # tables wrap
    for word in ('[boldred]', '[/nope]', ':smile:'):
        assert joined.count(word) >= least or least == 0, (word, text)


def test_text_for_a_log_is_one_line_that_can_be_read():
    assert printable('take the cup, ünïcödé 杯子') == 'take the cup, ünïcödé 杯子'
    assert printable('a\n[ERROR] b\r\x1b[2J\u202e\u2028') == (
        'a\\n[ERROR] b\\r\\x1b[2J\\u202e\\u2028')
    assert printable('a\n\tb\x1b', lines=True) == 'a\n\tb\\x1b'
    assert marked('error:', 'red', HOSTILE).plain.startswith('error: <script>')


def test_a_plain_console_obeys_nothing(capsys):
    console = PlainConsole(width=300)
    table = Table('[bold]head', title=HOSTILE)
    table.add_row(HOSTILE)
    console.print(HOSTILE)
    console.print(table)
    is_shown_as_it_stands(capsys.readouterr().out, 3)


def test_errors_of_the_command_line(tmp_path, capsys):
    for run in (main, sim_main):
        assert run(['data', 'look', str(tmp_path / '[/nope] [bold red]x :smile: \x1b[31m')]
                   if run is main else ['look', str(tmp_path / '[/nope][bold red]:smile:\x1b')])
        is_shown_as_it_stands(capsys.readouterr().err)
    assert main([HOSTILE]) == 2
    is_shown_as_it_stands(capsys.readouterr().err)


def test_tables_of_promote_grounding_and_demo(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '400')
    row = {'current': .5, 'candidate': .6, 'difference': .1, 'difference_ci95': [0, .2]}
    print_comparison({'sets': {HOSTILE: {'iou': row, 'found': None, 'robot': None, 'n': 1,
                                         'images': 1}}, 'verdict': HOSTILE})
    is_shown_as_it_stands(capsys.readouterr().out, 2)
    cells = {'mean_iou': .5, 'ci95': [0, 1], 'iou50': .5, 'n': 1}
    target = dict.fromkeys(('ciou', 'box50', 'boundary_f', 'ece', 'ece_shown', 'best_threshold',
                            'best_threshold_iou'), .5) | cells
    print_grounding({'n': 1, 'absent': 0, 'images': 1, 'target': target, 'references': {},
                     'by_kind': {HOSTILE: cells}, 'robot': {'mean_iou': .5},
                     'found': {'auroc': .5, 'accuracy': .5}})
    is_shown_as_it_stands(capsys.readouterr().out)
    frames = dict.fromkeys(('sent', 'masked', 'passed', 'held', 'blank', 'dropped', 'lost'), 1)
    show({'frames': frames, 'latency_ms': {'median': 1, 'p99': 1}, 'mean_iou': .5,
          'iou_frames': 1, 'instructions': [{'instruction': HOSTILE, 'frames': 1, 'found': .5,
                                             'mean_iou': .5}]}, Console())
    is_shown_as_it_stands(capsys.readouterr().out)


def test_bars_of_progress(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '400')
    with progress_of('pictures') as progress:
        progress.add_task(printable('[bold red] [/nope] :smile: \x1b'), total=1)
    is_shown_as_it_stands(capsys.readouterr().err)


@pytest.mark.slow
def test_masking_pictures_with_hostile_names_and_a_hostile_sentence(
        tmp_path, capsys, monkeypatch):
    import cv2

    monkeypatch.setenv('COLUMNS', '600')
    name = '[bold red]x[nope] :smile: \x1b[31m.png'
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / 'x.png').rename(tmp_path / name)
    (tmp_path / f'broken{name}').write_bytes(b'x')
    assert main(['mask', str(tmp_path), HOSTILE, '--out', str(tmp_path / 'out')]) == 1
    out = capsys.readouterr().out
    is_shown_as_it_stands(out)
    assert out.count('[bold red]x[nope] :smile: \\x1b[31m.png') == 2
    made = {path.name for path in (tmp_path / 'out').iterdir()}
    assert len(made) == 3 and all(part.startswith(name[:-4]) for part in made)
