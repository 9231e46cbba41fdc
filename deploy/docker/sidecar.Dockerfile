# The sidecar's image. `make image` fills the build context: the static binary, the build machine's CA certificates, and an
# empty state directory.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --chown=65532:65532 state /var/lib/remora
COPY LICENSE LICENSES.txt /
COPY remora-sidecar /remora-sidecar
# By this a node agent knows that the declarations of such a container are the sidecar's own.
ENV REMORA_IMAGE=sidecar
# What log-pilot ran, filebeat or fluentd: records then have its shape. As in log-pilot it is the image that says so, so that a
# manifest needs no change but the image. Empty in the image without a suffix.
ARG PILOT_TYPE=
ENV PILOT_TYPE=$PILOT_TYPE
USER 65532:65532
ENTRYPOINT ["/remora-sidecar"]
