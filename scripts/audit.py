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
Look what is installed up among known vulnerabilities, with pip-audit; `make audit`.

pip-audit passes over what its service does not know, and ends well. Packages of ROS it cannot
know; where it passes over what this package itself asks for, nothing was looked up.
"""

from importlib.metadata import requires
import json
import subprocess
import sys
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def asked_for() -> set[str]:
    """Name what the package needs to run, extras aside."""
    needs = map(Requirement, requires('ivm_ros') or ())
    return {canonicalize_name(need.name) for need in needs if 'extra' not in str(need.marker)}


def judge(report: dict[str, Any], wanted: set[str]) -> tuple[list[str], int]:
    """
    Read pip-audit's report in JSON.

    Returns:
        Lines to print, and the exit code: 1 for a known vulnerability, 2 where something wanted
        was not looked up.
    """
    packages = report['dependencies']
    passed_over = {package['name'] for package in packages if 'skip_reason' in package}
    unknown = sorted(wanted & passed_over)
    lines = [f'{len(packages) - len(passed_over)} of {len(packages)} packages looked up']
    for package in packages:
        lines += [f'{package["name"]} {package["version"]}: {found["id"]}, mended in '
                  f'{", ".join(found["fix_versions"]) or "no version yet"}'
                  for found in package.get('vulns', ())]
    if unknown:
        return [*lines, f'not looked up: {", ".join(unknown)}. Does this machine reach the '
                'service that pip-audit asks (--vulnerability-service)?'], 2
    return lines, int(len(lines) > 1)


def main() -> int:
    """Run pip-audit with the arguments given, and judge what it says."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip_audit', '--skip-editable', '--progress-spinner', 'off',
         '--format', 'json', *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return done.returncode or 2  # it has said why
    lines, code = judge(report, asked_for())
    print('\n'.join(lines))
    return code


if __name__ == '__main__':
    sys.exit(main())
