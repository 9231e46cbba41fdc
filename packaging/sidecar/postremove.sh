#!/bin/sh
# After a removal. Settings, state and user stay, so that a package which returns resumes; only deb's purge deletes them.
set -eu
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "${1:-}" = purge ] || exit 0
rm -rf /var/lib/remora-sidecar
rmdir /etc/remora 2>/dev/null || : # the settings of another package of ours may be there
! getent passwd remora >/dev/null || userdel remora
