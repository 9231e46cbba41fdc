# The node agent's image. `make image-node` fills the build context: the static binary, the build machine's CA certificates,
# an empty state directory, and /pilot/healthz, a link to the binary that log-pilot's manifests use as liveness probe.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY state /var/lib/remora
COPY pilot /pilot
COPY LICENSE LICENSES.txt /
COPY remora-node /remora-node
# By this an agent knows Remora's own containers: it does not collect what they collect already.
ENV REMORA_IMAGE=node
# What log-pilot ran, filebeat or fluentd: records then have its shape. As in log-pilot it is the image that says so, so that a
# manifest needs no change but the image. Empty in the image without a suffix.
ARG PILOT_TYPE=
ENV PILOT_TYPE=$PILOT_TYPE
# Files in containers belong to anybody, and the sockets of runtimes to root.
USER 0:0
ENTRYPOINT ["/remora-node"]
