#!/bin/sh
# After a removal. Settings and state stay, so that a package which returns resumes; only deb's purge deletes them.
set -eu
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "${1:-}" = purge ] || exit 0
rm -rf /var/lib/remora
rmdir /etc/remora 2>/dev/null || : # the settings of another package of ours may be there
