#!/bin/sh
# After an installation or an upgrade. deb passes "configure" and the old version, if there was one; rpm passes how many of
# the package are now installed. A first installation starts nothing: there is no backend yet that the settings name.
set -eu
getent passwd remora >/dev/null ||
	useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin remora
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
case "${1:-} ${2:-}" in
"configure " | "1 ") echo "remora-sidecar: name a backend in /etc/remora/sidecar.env, then: systemctl enable --now remora-sidecar" ;;
*) systemctl try-restart remora-sidecar.service ;;
esac
