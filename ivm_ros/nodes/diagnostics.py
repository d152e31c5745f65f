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
"""What `ivm_node` says about itself on /diagnostics, once a second."""

from collections.abc import Mapping
from dataclasses import dataclass, field
import os
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ivm_ros.deploy import DeployConfig
from ivm_ros.nodes import dds
from ivm_ros.nodes.stats import Report

PATIENCE = 20
"""Frames without a find that are worth a warning."""


@dataclass(frozen=True)
class Health:
    """
    What the node knows besides its counts.

    Attributes:
        state (str): 'unconfigured', 'inactive' or 'active'.
        error (str): Why the node could not be configured.
        broken (str): How the model failed: the last frame, the one at work, or for good.
        input (str): The camera's topic before remapping.
        topic (str): The camera's topic, as remapped.
        publishers (int): Of that topic.
        counts_losses (bool): Frames carry numbers that can be told apart by publisher.
        stale_after (float): Seconds without a frame that are too many.
        instruction (str): '' when none came.
        masks (bool): Frames are to be masked; else they pass on as they come.
        problems (tuple[str, ...]): Anything else that is wrong.
        values (dict[str, Any]): Shown as they are.
    """

    state: str
    error: str = ''
    input: str = 'image'
    topic: str = ''
    publishers: int = 0
    counts_losses: bool = True
    stale_after: float = 2.0
    instruction: str = ''
    masks: bool = True
    problems: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    broken: str = ''


def lost_frames(report: Report) -> str:
    """Say how many frames were lost since the report before and what to do; '' for none."""
    lost = report.recent.get('lost', 0)
    if not lost:
        return ''
    sent = lost + report.recent.get('in', 0)
    return f'{lost} of {sent} frames lost between camera and node: {dds.advice()}'


def silence(report: Report, health: Health) -> str:
    """Say that a camera has been silent for too long and what to do; '' where it is not."""
    if health.state != 'active' or report.silent <= health.stale_after:
        return ''
    if not health.publishers:
        return (f'nobody publishes on {health.topic}: remap {health.input} to the topic of '
                f'the camera')
    return (f'no frame for {report.silent:.0f} s although {health.publishers} publisher(s) '
            f'offer {health.topic}: {dds.advice()}')


def nothing_found(report: Report, deploy: DeployConfig, camera: str = '') -> str:
    """Say that nothing that was asked for is in view, and what comes of it; '' where it is."""
    if report.missed < PATIENCE or not report.recent.get('out'):
        return ''
    return (f'nothing found in the last {report.missed} frames'
            f'{f" of {camera}" if camera else ""}: on_not_found = '
            f'{deploy.on_not_found}. Ask by the plain name and colour of the thing, or lower '
            f'found_threshold ({deploy.found_threshold:g}); each score stands on ~/frame_info')


def problems(report: Report, health: Health) -> list[str]:
    """List what a user should know, the worst first."""
    if health.error:
        return [f'not configured: {health.error}', *health.problems]
    if health.state != 'active':
        state = f'{health.state}: nothing is masked or published'
        return [*filter(None, (health.broken, state)), *health.problems]
    found = [health.broken, lost_frames(report), silence(report, health)]
    if report.recent.get('stale'):
        found.append(f'{report.recent["stale"]} of {report.recent.get("in", 0)} frames dropped as '
                     f'stale: the model is slower than the camera')
    if report.recent.get('unsynced'):
        found.append(f'{report.recent["unsynced"]} of {report.recent.get("in", 0)} frames found '
                     f'none of the other cameras within sync_slop')
    if health.masks and not health.instruction.strip():
        found.append('no instruction: frames are not masked')
    return [*filter(None, found), *health.problems]


def stream_status(name: str, report: Report, health: Health, camera: str = ''
                  ) -> DiagnosticStatus:
    """Build the status of a camera; `name` is the node's, the only camera has none."""
    wrong = problems(report, health)
    level = DiagnosticStatus.ERROR if health.error or health.broken else (
        DiagnosticStatus.WARN if wrong else DiagnosticStatus.OK)
    median, high = report.latency_ms or (float('nan'), float('nan'))
    total = report.total
    values = {
        'state': health.state, 'rate_in': f'{report.rate("in"):.1f}',
        'rate_out': f'{report.rate("out"):.1f}', 'latency_ms_median': f'{median:.1f}',
        'latency_ms_p99': f'{high:.1f}', 'frames_in': total.get('in', 0),
        'frames_out': total.get('out', 0), 'frames_stale': total.get('stale', 0),
        'frames_lost': total.get('lost', 0) if health.counts_losses else 'not counted',
        'frames_faulty': total.get('faults', 0), 'frames_unwatched': total.get('unwatched', 0),
        'frames_skipped': total.get('skipped', 0), 'frames_unsynced': total.get('unsynced', 0),
        'found_ratio': '' if report.found_ratio is None else f'{report.found_ratio:.2f}',
        'memory_mb': f'{memory_mb():.0f}', 'instruction': health.instruction, **health.values}
    return DiagnosticStatus(
        level=level, name=f'{name}: {camera or "stream"}',
        hardware_id=str(health.values.get('device', '')),
        message='; '.join(wrong) or ('masking' if health.masks else 'passing on'),
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])


def batch_status(name: str, facts: Mapping[str, Any]) -> DiagnosticStatus:
    """Build the status of what the cameras of a node share."""
    return DiagnosticStatus(
        level=DiagnosticStatus.OK, name=f'{name}: batch', message='one model for all cameras',
        values=[KeyValue(key=key, value=str(value)) for key, value in facts.items()])


def memory_mb() -> float:
    """Return the resident memory of this process, MiB; NaN where /proc does not tell."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
    except OSError:
        return float('nan')
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20
