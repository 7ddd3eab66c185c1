# An image with Python, PyTorch and reflash, for GPUs (the default) or CPUs (docs/cluster.md):
#   docker build -t reflash:cuda .
#   docker build -t reflash:cpu --build-arg DEVICE=cpu --build-arg TORCH_INDEX=ADDRESS .
#   docker run --rm --gpus all -v "$PWD/study:/study" reflash:cuda
ARG DEVICE=cuda

FROM debian:bookworm-slim AS python
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*

# PyTorch lies in a layer of its own, which a change of reflash leaves as it is.
FROM python AS torch-cuda
COPY constraints.txt /build/
RUN python3 -m venv /opt/reflash \
 && /opt/reflash/bin/pip install -c /build/constraints.txt torch

FROM python AS torch-cpu
# PyTorch's own index of builds for CPUs (pytorch.org, Get started).
ARG TORCH_INDEX
COPY constraints.txt /build/
RUN python3 -m venv /opt/reflash \
 && /opt/reflash/bin/pip install -c /build/constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

# hadolint ignore=DL3006
FROM torch-${DEVICE} AS build
COPY . /build/reflash
RUN /opt/reflash/bin/pip install -c /build/constraints.txt "/build/reflash[workflow,slurm]"

FROM python
COPY --from=build /opt/reflash /opt/reflash
ENV PATH=/opt/reflash/bin:$PATH MPLBACKEND=Agg MPLCONFIGDIR=/tmp XDG_CACHE_HOME=/tmp
RUN useradd --create-home --uid 1000 reflash && install -d -o reflash /study
USER reflash
WORKDIR /study
# In an empty folder the project is written first; everything that is made lies beside it.
CMD ["sh", "-euc", "test -f Snakefile || reflash init .; exec snakemake --cores all"]
