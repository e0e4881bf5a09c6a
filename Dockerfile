# The platform for a server deployment; see docker-compose.yml. Agents' images are not made from
# this file: the platform makes them from its own interpreter, through the engine it is given.
#
#   docker build -t project-o .
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
RUN python3 -m venv /opt/project-o
COPY requirements/bootstrap.lock requirements/platform.lock requirements/
RUN /opt/project-o/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes -r requirements/bootstrap.lock \
 && /opt/project-o/bin/uv pip sync --require-hashes --python /opt/project-o/bin/python \
      requirements/platform.lock requirements/bootstrap.lock
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY platform platform
COPY sandbox sandbox
COPY tools tools
COPY agent_images agent_images
COPY benchmarks benchmarks
RUN /opt/project-o/bin/uv pip install --no-deps --no-build-isolation \
      --python /opt/project-o/bin/python .

FROM ${PYTHON_IMAGE}
# mount: the socket folder of an instance is a small tmpfs of its own.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends mount \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/project-o /opt/project-o
ENV PATH=/opt/project-o/bin:$PATH O_HOME=/var/lib/project-o O_LISTEN=0.0.0.0:8283
EXPOSE 8283
# `o up --foreground` becomes the supervisor, which reaps what is orphaned: no init is needed.
# It is root, since it makes users for Envoy and mounts; Envoy itself runs as a user of its own.
ENTRYPOINT ["o"]
CMD ["up", "--foreground"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["o", "status", "--json"]
