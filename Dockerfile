# The lab's command in an image: the dependencies of requirements/run.lock, each by its hash, and a user without rights.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/run.lock requirements/
RUN python3 -m venv /opt/lbdemo \
 && /opt/lbdemo/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY backends backends
COPY resolver resolver
COPY lb_client lb_client
RUN /opt/lbdemo/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.13-slim
# A named volume takes its owner from the folder it is mounted on, the first time.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin lbdemo \
 && install --directory --owner=lbdemo --group=lbdemo /registry
COPY --from=build /opt/lbdemo /opt/lbdemo
ENV PATH=/opt/lbdemo/bin:$PATH
USER lbdemo
EXPOSE 50051
ENTRYPOINT ["lbdemo"]
CMD ["serve", "--host", "0.0.0.0", "--port", "50051"]
