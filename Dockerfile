# facever's service on CPUs: docs/service.md, "In a container".
# tools/container.sh runs these steps where there is no container engine; it knows RUN, COPY, ENV,
# ARG, USER, and one stage.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin facever \
    && install --directory --owner=facever --group=facever --mode=0700 /data

# pip reads these two. EXTRAS=cpu,onnx,faces,serve is for models that need torch: name an index with
# the CPU build then, since the default one has torch's CUDA build, 5 GB.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG EXTRAS=serve-onnx,onnx,faces

# The dependencies are a layer of their own: a change of facever alone does not repeat it.
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY facever/_version.py /src/facever/
RUN python3 -m venv /opt/facever \
    && /opt/facever/bin/pip install --no-cache-dir --constraint /src/constraints.txt "/src[${EXTRAS}]" \
    && rm -rf /src/build /src/facever.egg-info

COPY configs /src/configs
COPY facever /src/facever
RUN /opt/facever/bin/pip install --no-cache-dir --no-deps --force-reinstall /src \
    && rm -rf /src/build /src/facever.egg-info

# Written: /data (gallery, tokens, log of uses, models that are fetched) and /tmp; nothing else.
ENV PATH=/opt/facever/bin:/usr/local/bin:/usr/bin:/bin
ENV FACEVER_CACHE=/data/cache
# onnxruntime sends usage data to its vendor otherwise, and keeps it in files.
ENV ORT_DISABLE_TELEMETRY=1
ENV MPLCONFIGDIR=/tmp/matplotlib
ENV PYTHONDONTWRITEBYTECODE=1
ENV PYTHONUNBUFFERED=1

USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=4); c.request('GET', '/v1/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["facever"]
CMD ["serve", "/data/gallery", "--model", "sface", "--host", "0.0.0.0", "--tokens", "/data/tokens.json"]
