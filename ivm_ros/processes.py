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
Processes of the demo and of the bench: started, listened to, and ended whatever happens.

Needs no ROS itself. What a process has to say it prints as lines of JSON.
"""

from collections.abc import Mapping, Sequence
import fcntl
import json
import os
from pathlib import Path
from queue import Empty, SimpleQueue
import signal
import subprocess
import sys
import tempfile
from threading import Thread
from types import TracebackType
from typing import Any, TextIO

LAST_WORDS = 12  # lines of a log that are shown
GRACE = 10.0  # seconds from Ctrl-C to kill


class ProcessError(RuntimeError):
    """A process did not do its part; the message ends with what it said last."""


class Program:
    """
    A process that writes a log, and facts as lines of JSON on its standard output.

    Args:
        name: For messages.
        module: Run with `python -m`.
        arguments: Of the module.
        environment: Of the process.
        log: File that takes what it says on standard error.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str],
                 environment: Mapping[str, str], log: Path) -> None:
        self.name, self._log = name, log
        with log.open('w') as errors:
            # A session of its own: Ctrl-C reaches us alone, and we end each process once.
            self._process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments], text=True, start_new_session=True,
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._facts: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        Thread(target=self._read, daemon=True).start()

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, s; NaN where /proc does not tell."""
        try:
            # Behind the name in parentheses, which may hold anything: utime and stime.
            fields = Path(f'/proc/{self._process.pid}/stat').read_text().rpartition(')')[2].split()
        except OSError:
            return float('nan')
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    @property
    def peak_memory(self) -> float:
        """The most memory it has held so far, MiB; NaN where /proc does not tell."""
        try:
            status = Path(f'/proc/{self._process.pid}/status').read_text()
        except OSError:
            return float('nan')
        kib = [line.split()[1] for line in status.splitlines() if line.startswith('VmHWM:')]
        return int(kib[0]) / 1024 if kib else float('nan')

    def ask(self) -> None:
        """Send an empty line."""
        if self._process.stdin is not None:
            self._process.stdin.write('\n')
            self._process.stdin.flush()

    def facts(self, patience: float) -> dict[str, Any] | None:
        """Return the next facts; None if none come within `patience` seconds or it ended."""
        try:
            return self._facts.get(timeout=patience)
        except Empty:
            return None

    def answer(self, patience: float = 60.0) -> dict[str, Any]:
        """
        Return the next facts.

        Raises:
            ProcessError: It ended, or took longer than `patience` seconds.
        """
        facts = self.facts(patience)
        if facts is None:
            raise ProcessError(f'{self.name} did not answer. {self.last_words()}')
        return facts

    def wait(self, patience: float) -> None:
        """
        Wait until it ends by itself.

        Raises:
            ProcessError: It failed, or takes longer than `patience` seconds.
        """
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise ProcessError(f'{self.name} does not end. {self.last_words()}') from None
        if code:
            raise ProcessError(f'{self.name} ended with code {code}. {self.last_words()}')

    def failed(self) -> bool:
        """Return whether it ended, or logged an error as ROS nodes do."""
        return self.code is not None or '[ERROR]' in self._log.read_text(errors='replace')

    def last_words(self) -> str:
        """Return where its log is and the last lines of it."""
        lines = self._log.read_text(errors='replace').strip().splitlines()[-LAST_WORDS:]
        return f'Its log {self._log} ends so:\n' + '\n'.join(f'  {line}' for line in lines)

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        if self.code is None:
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Wait a while for its end, then end it by force."""
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.startswith('{') and line.endswith('}\n'):  # not torn by its end
                self._facts.put(json.loads(line))
        self._facts.put(None)


class Programs:
    """
    The processes of one run, stopped when the block ends, however it ends.

    Args:
        environment: Of all of them.
        logs: Folder for their logs, made here.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._environment, self._logs = environment, logs
        self._all: list[Program] = []

    def __enter__(self) -> 'Programs':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for program in self._all:
            program.interrupt()
        for program in self._all:
            program.stop()

    def start(self, name: str, module: str, arguments: Sequence[str]) -> Program:
        """Start one."""
        program = Program(name, module, arguments, self._environment, self._logs / f'{name}.log')
        self._all.append(program)
        return program

    def check(self, finished: Sequence[Program] = ()) -> None:
        """
        See that all are alive; the `finished` may have ended well.

        Raises:
            ProcessError: One is not.
        """
        for program in self._all:
            if program.code is not None and (program.code or program not in finished):
                raise ProcessError(f'{program.name} ended with code {program.code} before its '
                                   f'time. {program.last_words()}')


def ros_arguments(parameters: Mapping[str, Any], space: str = '', name: str = '') -> list[str]:
    """
    Write what a ROS program is told on its command line.

    Args:
        parameters: ROS parameters by name.
        space: Namespace, '' for the program's own.
        name: Of the node, '' for the program's own.
    """
    renamed = [f'{key}:={value}' for key, value in (('__ns', space), ('__node', name)) if value]
    return ['--ros-args', *(part for rule in renamed for part in ('-r', rule)),
            *(part for key, value in parameters.items()
              for part in ('-p', f'{key}:={json.dumps(value)}'))]


def ros_facts() -> dict[str, str]:
    """
    Ask a process what ROS is here: only nodes import rclpy.

    Raises:
        ProcessError: None is; says why.
    """
    answer = subprocess.run([sys.executable, '-m', 'ivm_ros.nodes.about'], capture_output=True,
                            text=True, check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ['no reason given']
        raise ProcessError(f'ROS 2 is not usable here: {lines[-1]}. "make setup" sets it up')
    facts: dict[str, str] = json.loads(answer.stdout)
    return facts


def environment_of(about: Mapping[str, str], domain: int, profile: bool = True) -> dict[str, str]:
    """
    Give the environment of a graph's processes: one thread each, and ROS for them alone.

    Args:
        about: As `ros_facts` has it.
        domain: Of `reserve_domain`.
        profile: With the shipped Fast DDS profile, unless the user has set one; without any.
    """
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'ROS_DOMAIN_ID': str(domain),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'PYTHONUNBUFFERED': '1'}
    environment.pop('ROS_NAMESPACE', None)
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        if not profile or about['profile_variable'] != name:
            environment.pop(name, None)
    if profile:
        environment.setdefault(about['profile_variable'], about['shipped_profile'])
    return environment


def end_as_by_ctrl_c() -> None:
    """Make a closed terminal and `kill` end us as Ctrl-C does; else our processes would live."""
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)


def reserve_domain() -> tuple[int, TextIO]:
    """
    Reserve a ROS domain that no other demo or test on this machine uses.

    Returns:
        The domain, 1 to 101 (above lie ports that Linux hands out), and the locked file that
        reserves it as long as it is open.

    Raises:
        ProcessError: All are taken.
    """
    for step in range(101):
        domain = 1 + (os.getpid() + step) % 101
        path = Path(tempfile.gettempdir()) / f'ivm_ros_domain_{domain}_{os.getuid()}.lock'
        lock = path.open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return domain, lock
    raise ProcessError('all 101 ROS domains are reserved by demos and tests that run: end one')
