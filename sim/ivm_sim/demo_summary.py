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
"""What a recorded run of the demo comes to: figures, a verdict, a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ivm_ros.terminal import printable

Summary = dict[str, Any]
OUTCOMES = 'masked', 'passed', 'held', 'blank'
LATE = .05  # share of frames that may be sent late without a word


def summarise(facts: Mapping[str, Any]) -> Summary:
    """
    Sum up what the recorder wrote.

    A frame that the camera numbered and whose masked picture did not arrive is lost, unless the
    node says that it dropped it on purpose; nothing is assumed.

    Args:
        facts: `frames.json`: `camera` and `node` as they reported, `frames` as recorded.
    """
    camera, node, frames = facts['camera'], facts['node'], facts['frames']
    sent = int(camera.get('sent', 0))
    arrived = [frame for frame in frames if frame['latency_ms'] is not None]
    stale = int(node.get('frames_stale', 0))
    refused = sum(frame['outcome'] == 'dropped' for frame in frames)
    received = int(node.get('frames_in', 0))
    counts = {'sent': sent, 'in': sent, 'received': received, 'out': len(arrived),
              **{name: sum(frame['outcome'] == name for frame in arrived) for name in OUTCOMES},
              'dropped': stale + refused, 'lost': sent - len(arrived) - stale - refused,
              'lost_before_node': sent - received, 'late': int(camera.get('late', 0))}
    latencies = [frame['latency_ms'] for frame in arrived]
    median, high = np.percentile(latencies, (50, 99)) if latencies else (None, None)
    compared = [frame for frame in frames if frame['iou'] is not None]
    return {
        'frames': counts, 'latency_ms': {'median': rounded(median, 2), 'p99': rounded(high, 2)},
        'mean_iou': _mean(compared, 'iou'), 'iou_frames': len(compared),
        'instructions': [
            {'instruction': text, 'frames': len(group), 'mean_iou': _mean(group, 'iou'),
             'found': _mean(group, 'found')}
            for text in dict.fromkeys(frame['instruction'] for frame in arrived)
            for group in [[frame for frame in arrived if frame['instruction'] == text]]],
        'render_ms': float(camera.get('render_ms', 'nan')),
        'device': node.get('device', ''), 'threads': node.get('threads', '')}


def problems(summary: Summary, cure: str) -> list[str]:
    """
    List why the run is no success; empty if it is.

    Args:
        summary: From `summarise`.
        cure: What helps against lost frames.
    """
    frames, found = summary['frames'], []
    if not frames['sent']:
        return ['no frame was sent']
    if frames['lost']:
        found.append(f'{frames["lost"]} of {frames["sent"]} frames were lost on the way '
                     f'({frames["lost_before_node"]} between camera and node): {cure}')
    if not frames['masked']:
        found.append('no frame was masked')
    return found


def remarks(summary: Summary, rate: float) -> list[str]:
    """Say what a user should know though it is no failure."""
    frames = summary['frames']
    if frames['late'] <= LATE * frames['sent']:
        return []
    return [f'{frames["late"]} of {frames["sent"]} frames were sent late: drawing one takes '
            f'{summary["render_ms"]:.0f} ms here, so {rate:g} Hz cannot be kept beside the node; '
            f'a lower rate can']


def show(summary: Summary, console: Console) -> None:
    """Print the figures."""
    frames, latency = summary['frames'], summary['latency_ms']
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column()
    table.add_column(justify='right')
    rows = {'frames sent': frames['sent'], 'masked': frames['masked'],
            **{f'{name}, not masked': frames[name] for name in OUTCOMES[1:] if frames[name]},
            'dropped on purpose (stale)': frames['dropped'],
            'lost on the way': frames['lost'],
            'latency, median': _with(latency['median'], '.0f', ' ms'),
            'latency, 99 of 100 below': _with(latency['p99'], '.0f', ' ms'),
            'mean IoU with the truth': _with(summary['mean_iou'], '.2f'),
            '  frames compared': summary['iou_frames']}
    for name, value in rows.items():
        bad = (name == 'lost on the way' and value) or (name == 'masked' and not value)
        table.add_row(name, str(value), style='bold red' if bad else '')
    console.print(table)
    by_instruction = Table('instruction', 'frames', 'found', 'IoU', box=None, padding=(0, 2))
    for column in by_instruction.columns[1:]:
        column.justify = 'right'
    for entry in summary['instructions']:
        by_instruction.add_row(Text(printable(entry['instruction'] or '(none)')),
                               str(entry['frames']), _with(entry['found'], '.2f'),
                               _with(entry['mean_iou'], '.2f'))
    console.print(by_instruction)


def rounded(value: float | None, digits: int) -> float | None:
    """Round to what is worth writing; None stays None."""
    return None if value is None else round(float(value), digits)


def _mean(frames: list[dict[str, Any]], key: str) -> float | None:
    values = [frame[key] for frame in frames if frame[key] is not None]
    return rounded(float(np.mean(values)), 4) if values else None


def _with(value: float | None, form: str, unit: str = '') -> str:
    return '-' if value is None else f'{value:{form}}{unit}'
