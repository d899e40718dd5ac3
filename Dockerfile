# geodetect without PyTorch: every command on a processor but train and the conversion of checkpoints.
#
#   docker build -t geodetect .
#   docker run --rm --read-only --tmpfs /tmp --user "$(id -u):$(id -g)" -v "$PWD:/data" geodetect \
#       predict scene.tif -o pools.gpkg
FROM python:3.12-slim

# the wheels of rasterio and pyogrio link against it, and the slim images lack it
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements/predict.txt requirements/predict.txt
# more packages, such as "boto3 obstore" for object storage, or "matplotlib" for evaluate --plots
ARG PACKAGES=""
RUN pip install --no-cache-dir -r requirements/predict.txt $PACKAGES
COPY pyproject.toml README.md LICENSE ./
COPY geodetect geodetect
COPY cli cli
RUN pip install --no-cache-dir --no-deps . && rm -rf /src/*

# nothing is written but results: the folder of the cache and of temporary files may be missing
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --no-create-home geodetect
USER geodetect
WORKDIR /data
ENTRYPOINT ["geodetect"]
CMD ["--help"]
