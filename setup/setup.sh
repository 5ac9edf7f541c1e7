#!/usr/bin/env bash
# Prepares this machine to build moescope: system packages (Debian, Ubuntu, macOS), the project's own
# Python environment .venv, and the npm packages of the report's page. Installs only what is missing,
# says what it installs, and can be run again at any time.
# Usage: setup/setup.sh [--test | --lint | --dev | --cross]
#   --test: also what tests need; --lint: and the formatters and clang-tidy; --dev: all for contributors;
#   --cross: what building for 64-bit ARM and running it in qemu needs (Debian, Ubuntu)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
venv=$root/.venv
python=${PYTHON:-python3}
with_test=no
with_lint=no
with_dev=no
with_cross=no
changed=no
case "${1:-}" in
  "") ;;
  --test) with_test=yes ;;
  --lint) with_test=yes with_lint=yes ;;
  --dev) with_test=yes with_lint=yes with_dev=yes ;;
  --cross) with_cross=yes ;;
  *) echo "usage: setup/setup.sh [--test | --lint | --dev | --cross]" >&2; exit 2 ;;
esac

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif has sudo; then sudo "$@"
  else die "needs root for '$*'; install sudo, or run that command as root, and start again"
  fi
}

# The packages of list files $@ that are missing, one a line.
missing_apt_packages() {
  local package command
  while read -r package command; do
    if [ -n "$command" ] && has "$command"; then continue; fi
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
      echo "$package"
  done < <(cat "$@" | sed -e 's/#.*//' -e '/^[[:space:]]*$/d')
}

apt_install() {
  say "installing with apt: $*"
  as_root apt-get update -qq </dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    </dev/null >/dev/null
  changed=yes
}

install_system_packages() {
  if has apt-get; then
    local lists=("$here/apt-packages.txt") missing
    [ "$with_test" = no ] || lists+=("$here/apt-packages-test.txt")
    [ "$with_lint" = no ] || lists+=("$here/apt-packages-lint.txt")
    [ "$with_dev" = no ] || lists+=("$here/apt-packages-dev.txt")
    if [ "$with_cross" = yes ]; then
      lists+=("$here/apt-packages-cross.txt")
      dpkg --print-foreign-architectures | grep -qx arm64 || as_root dpkg --add-architecture arm64
    fi
    missing=$(missing_apt_packages "${lists[@]}")
    # shellcheck disable=SC2086  # one word for each package
    [ -z "$missing" ] || apt_install $missing
  elif [ "$(uname -s)" = Darwin ]; then
    has brew || die "needs Homebrew (https://brew.sh) to install what setup/Brewfile lists"
    export HOMEBREW_NO_AUTO_UPDATE=1
    brew bundle check --file="$here/Brewfile" >/dev/null 2>&1 && return
    say "installing what setup/Brewfile lists"
    brew bundle install --no-upgrade --file="$here/Brewfile" </dev/null
    changed=yes
  else
    say "neither apt nor Homebrew here: install what setup/apt-packages.txt lists in your own way"
  fi
}

# Any Chrome will do.
install_browser() {
  local command
  for command in chromium chromium-browser google-chrome google-chrome-stable; do
    if has "$command"; then return 0; fi
  done
  [ ! -d "/Applications/Google Chrome.app" ] || return 0
  if has apt-get && apt-cache show chromium >/dev/null 2>&1; then
    apt_install chromium
  else
    say "no Chrome or Chromium here: the report is not tested in a browser"
  fi
}

make_venv() {
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
  has "$python" || die "no $python found; install Python 3.11 or newer"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    has apt-get || die "$python has no venv module; install it"
    apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  fi
  say "making the project's Python environment .venv"
  "$python" -m venv --clear "$venv"
}

# pip_install FILE [OPTIONS...]
pip_install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$@" </dev/null
}

system_has_arrow() {
  local build
  build=$(mktemp -d)
  if cmake -S "$here/find_arrow" -B "$build" >/dev/null 2>&1; then
    rm -rf "$build"
    return 0
  fi
  rm -rf "$build"
  return 1
}

install_python_packages() {
  local stamp=$venv/.moescope-setup wanted
  wanted=$(cat "$here"/requirements*.txt | cksum)
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0

  say "installing the Python packages of setup/requirements.txt to .venv"
  pip_install "$here/requirements.txt"
  if system_has_arrow; then
    say "using the system's Arrow and Parquet"
  else
    say "installing Arrow and Parquet (the pyarrow wheel, about 55 MB) to .venv"
    pip_install "$here/requirements-arrow.txt"
  fi
  say "installing MLX (optional) to .venv"
  if ! pip_install "$here/requirements-mlx.txt" 2>"$venv/mlx-install.log"; then
    say "MLX can't be installed here (.venv/mlx-install.log says why): building without its plugin;" \
        "to try again, remove .venv/.moescope-setup"
  fi
  echo "$wanted" >"$stamp"
  changed=yes
}

# The consumers that the tests try exports with, where MLX is there.
install_test_packages() {
  local stamp=$venv/.moescope-setup-test wanted
  "$venv/bin/python" -c 'import mlx.core' 2>/dev/null || return 0
  wanted=$(cksum <"$here/requirements-test.txt")
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
  say "installing mlx-lm (for tests, about 32 MB with what it needs) to .venv"
  if ! pip_install "$here/requirements-test.txt" 2>"$venv/mlx-lm-install.log"; then
    say "mlx-lm can't be installed here (.venv/mlx-lm-install.log says why): exports are not tried with it"
  fi
  echo "$wanted" >"$stamp"
}

# Arrow for 64-bit ARM, which this machine can't run: only unpacked.
install_cross_packages() {
  local target=$venv/aarch64 wanted
  wanted=$(cksum <"$here/requirements-arrow.txt")
  [ "$(cat "$target/.moescope-setup" 2>/dev/null)" != "$wanted" ] || return 0
  say "installing Arrow and Parquet for 64-bit ARM (a pyarrow wheel, about 52 MB) to .venv/aarch64"
  rm -rf "$target"
  pip_install "$here/requirements-arrow.txt" --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 \
    --target "$target"
  echo "$wanted" >"$target/.moescope-setup"
}

# What the page is made of; for tests also what drives the browser.
install_web_packages() {
  local web=$root/src/report/web log=$venv/npm-install.log wanted omit=--omit=dev
  local stamp=$web/node_modules/.moescope-setup
  wanted=$(cksum <"$web/package-lock.json")
  if [ "$with_test" = yes ]; then wanted="$wanted test" omit=--include=dev; fi
  case "$(cat "$stamp" 2>/dev/null)" in "$wanted" | "$wanted test") return 0 ;; esac

  if ! has npm || ! node -e 'process.exit(Number(parseInt(process.versions.node) < 18))'; then
    say "no npm with Node.js 18 or newer here: building without the report's page and pictures"
    return 0
  fi
  say "installing the npm packages of src/report/web"
  if ! (cd "$web" && npm ci "$omit" --ignore-scripts </dev/null >"$log" 2>&1); then
    say "they can't be installed here (.venv/npm-install.log says why): building without the" \
        "report's page and pictures"
    return 0
  fi
  echo "$wanted" >"$stamp"
  changed=yes
}

# pip and Python obey these before they look at .venv; they are the user's and stay out of it.
unset PIP_TARGET PIP_PREFIX PIP_USER PYTHONHOME PYTHONPATH VIRTUAL_ENV

install_system_packages
make_venv
install_python_packages
install_web_packages
if [ "$with_test" = yes ]; then
  install_test_packages
  install_browser
fi
[ "$with_cross" = no ] || install_cross_packages
if [ "$with_dev" = yes ] && ! "$venv/bin/python" -c 'import matplotlib' 2>/dev/null; then
  say "installing the Python packages of setup/requirements-dev.txt to .venv"
  pip_install "$here/requirements-dev.txt"
fi

# CMake looks again for what it did not find before (Makefile).
found=$venv/.moescope-found
if [ "$changed" = yes ] || [ ! -e "$found" ]; then touch "$found"; fi
