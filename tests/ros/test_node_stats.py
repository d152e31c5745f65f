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
"""Counting what becomes of a stream, and the thread that takes the newest frame."""

import threading

import pytest

from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes import dds
from ivm_ros.nodes.diagnostics import (
    Health, nothing_found, PATIENCE, problems, silence, stream_status)
from ivm_ros.nodes.stats import Gaps, Report, Stats


def test_gaps_are_counted_by_hand():
    """5, 6, 9 lost two; 10 none; what came before the first message is not counted."""
    gaps = Gaps()
    assert [gaps.add(b'a', number) for number in (5, 6, 9, 10)] == [0, 0, 2, 0]


def test_gaps_of_two_publishers_do_not_mix():
    """Each publisher has its own numbers; a restart begins anew."""
    gaps = Gaps()
    sent = [(b'a', 1), (b'b', 100), (b'a', 2), (b'b', 103), (b'a', 1), (b'a', 2)]
    assert [gaps.add(*one) for one in sent] == [0, 0, 0, 2, 0, 0]
    assert gaps.counts


def test_gaps_without_numbers_or_names_say_so():
    """No number, or several publishers without names (Jazzy): nothing is made up."""
    gaps = Gaps()
    assert gaps.add(b'a', None) == 0
    assert not gaps.counts
    gaps.mixed = True
    assert [gaps.add(None, number) for number in (1, 100, 2)] == [0, 0, 0]
    assert not gaps.counts
    gaps.mixed = False
    assert [gaps.add(None, number) for number in (101, 103)] == [0, 1]
    assert gaps.counts


def test_report_counts_since_the_one_before():
    """Totals stay, recent counts start anew; quantiles are those of the latencies given."""
    stats = Stats()
    stats.arrived(lost=2)
    stats.left('masked', 10.0, found=True)
    assert stats.report().recent == {'in': 1, 'lost': 2, 'out': 1, 'masked': 1}
    stats.arrived()
    stats.left('passed', 20.0, found=False)
    stats.left('dropped', 99.0)
    report = stats.report()
    assert report.total == {'in': 2, 'lost': 2, 'out': 2, 'masked': 1, 'passed': 1, 'dropped': 1}
    assert report.recent == {'in': 1, 'out': 1, 'passed': 1, 'dropped': 1}
    assert report.latency_ms == pytest.approx((15.0, 19.9))
    assert report.found_ratio == 0.5


def test_counts_of_many_threads_add_up():
    """No count is lost between threads."""
    stats = Stats()

    def work() -> None:
        for _ in range(2000):
            stats.arrived(1)
            stats.left('masked', 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.report().total == {'in': 8000, 'lost': 8000, 'out': 8000, 'masked': 8000}


def report(recent: dict, silent: float = 0.0) -> Report:
    """Make a report of one second."""
    return Report(dict(recent), dict(recent), 1.0, silent, (25.0, 40.0), 0.5)


ACTIVE = Health('active', topic='/image', publishers=1, instruction='take the cup')


@pytest.mark.parametrize(('recent', 'silent', 'health', 'words'), [
    ({'in': 30}, 0.0, ACTIVE, []),
    ({'in': 14, 'lost': 16}, 0.0, ACTIVE, ['16 of 30 frames lost', 'DEFAULT_PROFILES_FILE']),
    ({'in': 30, 'stale': 7}, 0.0, ACTIVE, ['7 of 30 frames dropped as stale']),
    ({}, 3.0, ACTIVE, ['no frame for 3 s although 1 publisher(s) offer /image']),
    ({}, 3.0, Health('active', topic='/image', instruction='x'), ['nobody publishes on /image']),
    ({'in': 30}, 0.0, Health('active', publishers=1), ['no instruction']),
    ({}, 0.0, Health('inactive'), ['inactive: nothing is masked']),
])
def test_diagnostics_warn_of(monkeypatch, recent, silent, health, words):
    """WARN where frames are lost, stale or missing, without instruction or when inactive."""
    monkeypatch.delenv(dds.variable(), raising=False)
    status = stream_status('ivm_node', report(recent, silent), health)
    assert status.level == (b'\x01' if words else b'\x00')
    for word in words:
        assert word in status.message
    assert words or status.message == 'masking'


def test_silence_and_nothing_found_are_told_with_what_comes_of_it():
    stats = Stats()
    for number in range(PATIENCE + 9):
        stats.left('masked', 1.0, number < 10)
    deploy = DeployConfig(found_threshold=.25)
    assert nothing_found(stats.report(), deploy) == ''
    stats.left('passed', 1.0)  # in which nothing was looked for
    stats.left('kept', 1.0, False)
    said = nothing_found(stats.report(), deploy)
    assert f'in the last {PATIENCE} frames: on_not_found = keep' in said
    assert 'found_threshold (0.25)' in said
    assert nothing_found(stats.report(), deploy) == ''  # as no frame came since
    stats.left('kept', 1.0, False)
    assert 'frames of wrist: on_not_found' in nothing_found(stats.report(), deploy, 'wrist')
    stats.left('masked', 1.0, True)
    assert nothing_found(stats.report(), deploy) == ''
    assert silence(report({}, 3.0), Health('inactive')) == silence(report({}), ACTIVE) == ''


def test_diagnostics_say_why_nothing_runs():
    """A failed configure is an error, and its reason the message."""
    health = Health('unconfigured', error='no weights at /x')
    assert problems(report({}), health) == ['not configured: no weights at /x']
    assert stream_status('ivm_node', report({}), health).level == b'\x02'


def test_diagnostics_carry_the_numbers():
    """Rates, latency, counts, memory are in the values."""
    values = {pair.key: pair.value for pair in stream_status(
        'ivm_node', report({'in': 30, 'out': 28, 'stale': 2}), ACTIVE).values}
    assert values['rate_in'] == '30.0'
    assert values['rate_out'] == '28.0'
    assert values['latency_ms_median'] == '25.0'
    assert values['latency_ms_p99'] == '40.0'
    assert values['frames_stale'] == '2'
    assert values['frames_lost'] == '0'
    assert values['found_ratio'] == '0.50'
    assert float(values['memory_mb']) > 10
