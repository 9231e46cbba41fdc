#!/bin/sh
# Installs Remora on a machine with containerd and systemd: the logging binary, and the node agent that delivers what it
# captures. Run it as root in the checkout, after `make bin/remora-logger bin/remora-node`. It may be run again to upgrade: a
# binary is replaced in one step, and settings that are there stay as they are.
set -eu
cd "$(dirname "$0")/../.."
bin=${DESTDIR:-}/usr/local/bin
etc=${DESTDIR:-}/etc/remora
unit=${DESTDIR:-}/etc/systemd/system
install -d -m 755 "$bin" "$unit"
install -d -m 700 "$etc"
for name in remora-logger remora-node; do
	install -m 755 "bin/$name" "$bin/$name.new"
	mv "$bin/$name.new" "$bin/$name"
done
[ -e "$etc/node.env" ] || install -m 600 deploy/containerd/node.env "$etc/node.env"
# The unit is the packages', which have the programs in /usr/bin.
sed 's|/usr/bin/|/usr/local/bin/|' packaging/remora-node.service >"$unit/remora-node.service"
chmod 644 "$unit/remora-node.service"
[ -z "${DESTDIR:-}" ] || exit 0
systemctl daemon-reload
systemctl enable remora-node.service
systemctl restart remora-node.service
"$bin/remora-logger" --check
