# MM-Diff Studio on a machine of your own: docker build -t mm-diff-studio . && docker run -p 7860:7860 mm-diff-studio
FROM python:3.12-slim-bookworm

# The package index of a smaller build of PyTorch, such as its CPU build; left out, as pip leaves out what is empty, it is
# the usual one, for NVIDIA GPUs.
ARG TORCH_INDEX=
ARG TORCH_VERSION=2.13.0

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    MMDIFF_HOSTED=1 \
    HF_HOME=/models

RUN useradd --create-home --uid 1000 studio \
    && mkdir /models \
    && chown studio:studio /models

WORKDIR /app

# What changes seldom comes first, so that a change of the code does not install everything anew.
RUN PIP_INDEX_URL="${TORCH_INDEX}" pip install "torch==${TORCH_VERSION}"
COPY requirements.txt ./
RUN pip install -r requirements.txt

COPY LICENSE README.md app.py pyproject.toml ./
COPY assets ./assets
COPY demo ./demo
COPY mmdiff_core ./mmdiff_core

USER 1000
VOLUME /models
EXPOSE 7860

HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=8)"]

# TERM ends it; what is running is broken off.
CMD ["python", "app.py"]
