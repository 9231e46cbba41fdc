#!/bin/sh
# Before a removal or an upgrade. deb passes "remove" or "upgrade", rpm how many will be left. During an upgrade the old
# process keeps running until the new version is there.
set -eu
case "${1:-}" in
remove | 0) ;;
*) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now remora-sidecar.service
