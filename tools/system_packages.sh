#!/bin/sh
# What only some tests need: off-screen rendering and a browser. Installed when root on Debian or
# Ubuntu; otherwise one line says what to run, and those tests skip. With arguments only these
# packages: system_packages.sh libosmesa6
set -eu
wanted=" ${*:-libosmesa6 chromium} "

has_osmesa() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q 'libOSMesa\.so'
}

has_browser() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

list_missing() {
    case "$wanted" in *" libosmesa6 "*) has_osmesa || printf ' libosmesa6' ;; esac
    case "$wanted" in *" chromium "*) has_browser || printf ' chromium' ;; esac
}

missing=$(list_missing)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing ..."
    # shellcheck disable=SC2086 # two words are two packages
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends $missing; } >/dev/null 2>&1 || true
    missing=$(list_missing)
    [ -n "$missing" ] || exit 0
fi
echo "Missing, so that some things cannot run: sudo apt-get install$missing"
