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
"""What `ivm_recorder` says about itself on /diagnostics."""

import time

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ivm_ros.nodes import dds
from ivm_ros.recording import MEGABYTE, Recording

QUIET = 2.0
"""Seconds of a recording after which each topic should have given a picture."""


def recorder_status(name: str, recording: Recording | None, error: str, instruction: str,
                    publishers: dict[str, int]) -> DiagnosticStatus:
    """
    Build the one status of the node.

    Args:
        name: Of the node.
        recording: The one in progress, or the last.
        error: Why the last could not begin.
        instruction: The one in force.
        publishers: How many there are on each topic of pictures.
    """
    error = error or (recording.failure if recording is not None else '')
    wrong = [] if error else problems(recording, instruction, publishers)
    state = 'idle' if recording is None or recording.finished else 'recording'
    level = DiagnosticStatus.ERROR if error else (
        DiagnosticStatus.WARN if wrong else DiagnosticStatus.OK)
    values: dict[str, object] = {'state': 'failed' if error else state,
                                 'instruction': instruction}
    if recording is not None:
        values.update({
            'bag': recording.path, 'megabytes': f'{recording.size / MEGABYTE:.1f}',
            'pictures_dropped': recording.counts['dropped'],
            'pictures_thinned': recording.counts['thinned'],
            'pictures_unreadable': recording.counts['unreadable'],
            **{f'pictures {topic}': count for topic, count in list(recording.frames.items())}})
    return DiagnosticStatus(
        level=level, name=f'{name}: recording', message=error or '; '.join(wrong) or state,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])


def problems(recording: Recording | None, instruction: str, publishers: dict[str, int]
             ) -> list[str]:
    """List what a user should know of a recording that has not failed."""
    if recording is None:
        return []
    found = [f'stopped by itself: {recording.reason}'] if recording.reason else []
    if recording.counts['dropped']:
        found.append(f'{recording.counts["dropped"]} pictures dropped: the disk is slower than '
                     'the cameras; lower rate or set jpeg_quality')
    if recording.counts['unreadable']:
        found.append(f'{recording.counts["unreadable"]} pictures could not be read')
    if recording.finished:
        return found
    if not instruction.strip():
        found.append('no instruction: send one, or import the bag with --text')
    if time.monotonic() > recording.begin + QUIET:
        heard = {topic.removesuffix('/compressed') for topic in list(recording.frames)}
        found += [f'no picture on {topic}: ' + (dds.advice() if count else 'nobody publishes it')
                  for topic, count in publishers.items()
                  if topic.removesuffix('/compressed') not in heard]
    return found
