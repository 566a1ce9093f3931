# moto behind MinIO's command line, with an `mc` for the little that docker/bucket.sh asks of it.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends curl >/dev/null \
 && rm -rf /var/lib/apt/lists/*
ARG MOTO
RUN python3 -m venv /opt/moto && /opt/moto/bin/pip install --quiet --no-cache-dir "moto[server]==${MOTO}"
COPY minio.py mc.py /opt/
RUN printf '#!/bin/sh\nexec /opt/moto/bin/python -W ignore /opt/minio.py "$@"\n' >/usr/local/bin/minio \
 && printf '#!/bin/sh\nexec /opt/moto/bin/python -W ignore /opt/mc.py "$@"\n' >/usr/local/bin/mc \
 && chmod +x /usr/local/bin/minio /usr/local/bin/mc
ENV PYTHONUNBUFFERED=1
VOLUME /data
ENTRYPOINT ["minio"]
