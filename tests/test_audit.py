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
"""`ivm audit`: which labels are drawn, what the page gives away, and what verdicts add up to."""

from collections import Counter
from dataclasses import replace
import json
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from ivm_ros.audit.sample import bin_of, draw, identity_of, shares
from ivm_ros.audit.verdicts import agreement, Review, wilson
from ivm_ros.cli import main
from ivm_ros.data.shards import (
    DatasetError, encode_image, encode_mask, read_rows, Row, write_info, write_shard)

SOURCES = {'human: person on shop': 8, 'machine: compact (mean) on shop': 40,
           'machine: person on kitchen': 30}


def rows() -> list[Row]:
    """Make labels of three sources; every fifth shows nothing, scores go round."""
    made: list[Row] = []
    for source, count in SOURCES.items():
        who, _, rest = source.partition(': ')
        annotator, _, where = rest.partition(' on ')
        for _ in range(count):
            number = len(made)
            mask = np.zeros((24, 32), bool)
            mask[4:12, number % 20:number % 20 + 8] = number % 5 > 0
            image = np.full((24, 32, 3), 3 * number, np.uint8)
            made.append(Row(f'1-{number:07d}-0', encode_image(image), f'take cup {number}',
                            'plain', encode_mask(mask), None, bool(mask.any()), where, annotator,
                            who == 'human', number % 4 / 4 + .1))
    return made


def write(folder: Path, made: list[Row], shard: int = 20) -> Path:
    """Write a dataset."""
    for place in range(0, len(made), shard):
        write_shard(folder / f'shard-{place // shard:05d}.parquet', made[place:place + shard])
    write_info(folder, {})
    return folder


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Write the labels, and one row that has no mask yet."""
    bare = replace(rows()[0], id='2-0-0', mask=None, found=None)
    return write(tmp_path_factory.mktemp('audit') / 'data', [*rows(), bare])


def page(path: Path) -> dict:
    """Read what a page holds."""
    text = path.read_text(encoding='utf-8')
    return json.loads(text.partition('type="application/json"')[2].partition('>')[2].partition(
        '</script>')[0])


def review(path: Path, told: dict, reviewer: str, verdicts: dict[str, str],
           changes: dict | None = None) -> str:
    """Write a file as the page saves it."""
    path.write_text(json.dumps({
        'format': 'ivm audit verdicts 1', 'reviewer': reviewer, 'dataset': told['dataset'],
        'sample': told['sample'], 'seed': told['seed'], 'saved': '2026-01-01T00:00:00.000Z',
        'items': [item['id'] for item in told['items']], 'verdicts': verdicts, **(changes or {})}))
    return str(path)


# --- the draw --------------------------------------------------------------------------------

def test_sources_get_alike_and_bins_their_share():
    counts = {('a', 'x'): 80, ('a', 'y'): 20, ('b', 'x'): 5, ('c', 'x'): 50, ('c', 'y'): 50}
    assert shares(counts, 46) == {  # b has 5; of 41 left, c gets 20 or 21, a the rest
        ('b', 'x'): 5, ('a', 'x'): 16, ('a', 'y'): 4, ('c', 'x'): 11, ('c', 'y'): 10}
    assert shares({('a', 'x'): 2, ('b', 'x'): 1}, 99) == {('a', 'x'): 2, ('b', 'x'): 1}
    assert sum(shares(counts, 7).values()) == 7


@pytest.mark.parametrize(('found', 'score', 'name'), [
    (False, .9, 'nothing in view'), (True, 0, 'score 0 to 0.25'), (True, .25, 'score 0.25 to 0.5'),
    (None, .74, 'score 0.5 to 0.75'), (True, 1, 'score 0.75 to 1')])
def test_bins_go_by_found_and_score(found, score, name):
    assert bin_of({'found': found, 'score': score}) == name


def test_a_draw_is_stratified_and_depends_on_seed_and_ids_alone(data, tmp_path):
    census, items = draw(data, 30, 0)
    assert Counter(item.source for item in items) == dict.fromkeys(SOURCES, 11) | {
        'human: person on shop': 8}
    assert census.counts.total() == sum(SOURCES.values()) and census.unlabelled == 1
    assert [item.row.id for item in items] != sorted(item.row.id for item in items)
    other = write(tmp_path / 'other', rows()[::-1], 7)
    assert [item.row for item in draw(other, 30, 0)[1]] == [item.row for item in items]
    assert [item.row.id for item in draw(data, 30, 1)[1]] != [item.row.id for item in items]


@pytest.mark.slow
def test_every_row_is_as_likely_as_any_other(tmp_path):
    some = write(tmp_path / 'd', [replace(row, score=1.0, found=True) for row in rows()[8:28]])
    drawn = Counter(item.row.id for seed in range(200) for item in draw(some, 5, seed)[1])
    assert len(drawn) == 20 and drawn.total() == 1000
    # 50 each; a binomial of 200 draws at 1 in 4 has a standard deviation of 6.1.
    assert max(abs(count - 50) for count in drawn.values()) < 4.5 * 6.1


def test_identities_change_with_any_label(data, tmp_path):
    census, items = draw(data, 30, 0)
    mask = encode_mask(np.eye(24, 32, dtype=bool))
    changed = [replace(row, mask=mask) if row.id == items[0].row.id else row for row in rows()]
    bare = replace(rows()[0], id='2-0-0', mask=None, found=None)
    other, others = draw(write(tmp_path / 'other', [*changed, bare]), 30, 0)
    assert other.identity == census.identity and identity_of(others) != identity_of(items)
    fewer, _ = draw(write(tmp_path / 'fewer', changed), 30, 0)
    assert fewer.identity != census.identity


def test_rows_that_cannot_be_told_apart_or_have_no_mask_are_refused(tmp_path):
    twice = write(tmp_path / 'twice', [*rows()[:10], *rows()[:10]], 10)
    with pytest.raises(DatasetError, match='two rows have the id 1-000000'):
        draw(twice, 20, 0)
    bare = [replace(row, mask=None, found=None) for row in rows()[:3]]
    with pytest.raises(DatasetError, match='holds no row with a mask: annotate it first'):
        draw(write(tmp_path / 'bare', bare), 20, 0)


PEAK = """
import sys
from pathlib import Path
from ivm_ros.audit.sample import draw
census, items = draw(Path(sys.argv[1]), 20, 0)
status = Path('/proc/self/status').read_text()  # what getrusage tells begins with the parent's
print(census.counts.total(), len(items), status.partition('VmHWM:')[2].split()[0])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    some = [replace(row, image=encode_image(noise + np.uint8(place)))
            for place, row in enumerate(rows()[8:48])]
    peaks = {}
    for shards in (10, 300):
        folder = tmp_path / str(shards)
        for number in range(shards):
            write_shard(folder / f'shard-{number:05d}.parquet', [
                replace(row, id=f'{number}-{place}-0') for place, row in enumerate(some)])
        done = subprocess.run([sys.executable, '-c', PEAK, str(folder)], check=True, timeout=200,
                              capture_output=True, text=True)
        count, drawn, peaks[shards] = map(int, done.stdout.split())
        assert (count, drawn) == (40 * shards, 20)
    pictures = sum(len(row.image) for row in some) * 290 / 1024  # KiB that one set holds more
    print(f'peak {peaks} KiB, {pictures:.0f} KiB more pictures')
    assert peaks[300] - peaks[10] < pictures / 4


# --- the page --------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_page_is_the_same_again_and_does_not_say_where_labels_are_from(data, tmp_path, capsys):
    path = tmp_path / 'a.html'
    assert main(['audit', str(data), '--n', '30', '--out', str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        '30 labels of 78 from 3 sources; 1 rows have no mask', f'wrote {path}']
    first = path.read_bytes()
    assert main(['audit', str(data), '--n', '30', '--out', str(path)]) == 0
    assert path.read_bytes() == first
    for word in (b'compact', b'person', b'human', b'machine', b'kitchen', b'shop', b'score'):
        assert word not in first
    assert b'http' not in first.replace(b'http-equiv', b'')
    told = page(path)
    assert [item['found'] for item in told['items']] == [
        int(item['text'].split()[-1]) % 5 > 0 for item in told['items']]


# --- what reviewers said ---------------------------------------------------------------------

def test_wilsons_interval_and_cohens_kappa_are_those_worked_out_by_hand():
    assert wilson(8, 10)['ci95'] == pytest.approx([.4902, .9433], abs=1e-4)
    assert wilson(0, 0) == {'n': 0, 'share': None, 'ci95': [None, None]}

    def said(reviewer: str, words: str) -> Review:
        full = {'g': 'good', 'w': 'wrong', 'u': 'usable'}
        ids = tuple(str(place) for place in range(len(words)))
        return Review(Path('x'), reviewer, 'd', 's', ids, {
            name: full[word] for name, word in zip(ids, words) if word != ' '})

    # Cohen's table 20, 5, 10, 15: they agree on .7, chance gives .5 * .6 + .5 * .4 = .5.
    one = said('a', 'g' * 25 + 'w' * 25 + 'u ')
    other = said('b', 'g' * 20 + 'w' * 5 + 'g' * 10 + 'w' * 15 + ' u')
    found = agreement(one, other)
    assert found['kappa'] == pytest.approx(.4) and found['both'] == 50
    assert found['agree']['share'] == .7
    assert found['table'] == [[20, 0, 5], [0, 0, 0], [10, 0, 15]]
    assert agreement(said('a', 'gg'), said('b', 'gg'))['kappa'] is None
    nothing = agreement(said('a', 'g '), said('b', ' g'))
    assert (nothing['kappa'], nothing['both'], nothing['agree']['share']) == (None, 0, None)
    assert agreement(said('a', 'gw'), said('b', 'wg'))['kappa'] == pytest.approx(-1)


@pytest.fixture(scope='module')
def drawn(data) -> dict:
    """Draw a page, and read what it holds."""
    path = data.with_name('a.html')
    assert main(['audit', str(data), '--n', '24', '--out', str(path)]) == 0
    return page(path)


def test_verdicts_come_back_by_source_and_reviewer(data, drawn, tmp_path, capsys):
    human = {row.id: row.is_human for row in read_rows(data)}
    ids = [item['id'] for item in drawn['items']]
    ann = {name: 'good' if human[name] else 'wrong' for name in ids}
    bo = {name: 'usable' if human[name] else 'wrong' for name in ids[:15]}
    files = [review(tmp_path / 'ann.json', drawn, 'Ann', ann),
             review(tmp_path / 'bo.json', drawn, ' [b]Bo ', bo)]
    out = tmp_path / 'figures.json'
    capsys.readouterr()
    assert main(['audit', str(data), '--verdicts', *files, '--json', str(out)]) == 0
    printed = capsys.readouterr().out
    told = json.loads(out.read_text())
    people = told['sources']['human: person on shop']
    assert (people['rows'], people['drawn']) == (8, 8)
    assert people['reviewers']['Ann']['good'] == {**wilson(8, 8)}
    assert people['reviewers']['[b]Bo']['usable']['n'] == sum(human[name] for name in ids[:15])
    assert sum(part['rows'] for part in people['bins'].values()) == 8
    machine = told['sources']['machine: compact (mean) on shop']
    assert machine['reviewers']['Ann']['wrong']['share'] == 1 and machine['drawn'] == 8
    assert told['unlabelled'] == 1 and told['labels'] == 24
    pair = told['agreement'][0]
    assert (pair['reviewers'], pair['both']) == (['Ann', '[b]Bo'], 15)
    same = sum(not human[name] for name in ids[:15]) / 15
    assert pair['agree']['share'] == pytest.approx(same)
    chance = same ** 2  # of the verdicts, only 'wrong' is given by both
    assert pair['kappa'] == pytest.approx((same - chance) / (1 - chance))
    assert f"Cohen's kappa {pair['kappa']:.3f}" in printed and '[b]Bo' in printed
    assert '100% (68% to 100%)' in ' '.join(printed.split())


@pytest.mark.parametrize(('changes', 'said'), [
    ({'dataset': 'x'}, 'is of another dataset than'), ({'sample': 'x'}, 'of other pictures or'),
    ({'format': 'y'}, "has the format 'y'"), ({'verdicts': {}}, 'holds no verdict'),
    ({'reviewer': ' '}, 'no name of a reviewer'), ({'verdicts': {'9': 'good'}}, 'not of the sam'),
    ({'verdicts': {'9': 'fine'}}, "'fine', wanted one of good, usable, wrong"),
    ({'verdicts': [1]}, 'is no file that the audit page saved')])
def test_verdicts_on_something_else_are_refused(data, drawn, tmp_path, capsys, changes, said):
    good = {drawn['items'][0]['id']: 'good'}
    path = review(tmp_path / 'ann.json', drawn, 'Ann', good, changes)
    assert main(['audit', str(data), '--verdicts', path, '--json', str(tmp_path / 'o')]) == 2
    message = capsys.readouterr().err
    assert said in message and path in message and message.count('\n') == 1
    assert not (tmp_path / 'o').exists()


def test_verdicts_on_what_has_changed_or_on_two_pages_are_refused(data, drawn, tmp_path, capsys):
    good = {drawn['items'][0]['id']: 'good'}
    ann = review(tmp_path / 'ann.json', drawn, 'Ann', good)
    assert main(['audit', str(data), '--n', '9', '--out', str(tmp_path / 'b.html')]) == 0
    other = page(tmp_path / 'b.html')
    bo = review(tmp_path / 'bo.json', other, 'Bo', {other['items'][0]['id']: 'good'})
    again = review(tmp_path / 'again.json', drawn, 'Ann', good)
    for files, said in (([ann, bo], 'bo.json is of another sample than'),
                        ([ann, again], 'Ann is the reviewer of another file'),
                        ([str(tmp_path / 'gone.json')], 'gone.json is no file')):
        capsys.readouterr()
        assert main(['audit', str(data), '--verdicts', *files]) == 2
        assert said in capsys.readouterr().err
    first = [replace(row, mask=encode_mask(np.ones((24, 32), bool))) for row in rows()]
    changed = write(tmp_path / 'changed', [*first, replace(rows()[0], id='2-0-0', mask=None,
                                                           found=None)])
    assert main(['audit', str(changed), '--verdicts', ann]) == 2
    assert 'is of other pictures or masks than' in capsys.readouterr().err
