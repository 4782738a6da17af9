# syntax=docker/dockerfile:1
# Pin the base for a build that can be repeated: take the digest that
#   docker buildx imagetools inspect python:3.13-slim
# prints, and give it as  --build-arg BASE=python:3.13-slim@sha256:…
# A bill of materials and the provenance go with the image when it is built by
#   docker buildx build --sbom=true --provenance=mode=max …
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/sipfailover \
 && /opt/sipfailover/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY sipfailover ./sipfailover
RUN /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/sipfailover/bin/pip install --no-index --no-deps /dist/*.whl \
 && /opt/sipfailover/bin/pip uninstall --yes pip \
 && python -m compileall -q /opt/sipfailover/lib

FROM ${BASE}
LABEL org.opencontainers.image.title=sipfailover \
      org.opencontainers.image.description="Moves an office's calls to the backup trunk when a carrier fails" \
      org.opencontainers.image.licenses=Apache-2.0
RUN groupadd --system --gid 10001 sipfailover \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/sipfailover --shell /usr/sbin/nologin sipfailover \
 && install -d -m 0755 /etc/sipfailover \
 && install -d -m 0750 -o 10001 -g 10001 /var/lib/sipfailover
COPY --from=build /opt/sipfailover /opt/sipfailover
ENV PATH=/opt/sipfailover/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/sipfailover
EXPOSE 5060/udp 5060/tcp 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 CMD ["python", "-m", "sipfailover.healthcheck"]
ENTRYPOINT ["sipfailover"]
CMD ["run"]
