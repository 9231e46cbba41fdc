#!/bin/sh
# After an installation or an upgrade. deb passes "configure" and the old version, if there was one; rpm passes how many of
# the package are now installed. A first installation starts nothing: there is no backend yet that the settings name.
set -eu
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
case "${1:-} ${2:-}" in
"configure " | "1 ") echo "remora-node: name a backend in /etc/remora/node.env, then: systemctl enable --now remora-node" ;;
*) systemctl try-restart remora-node.service ;;
esac
