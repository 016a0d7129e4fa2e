# Builds both programs from a clean clone and puts them into a small image that runs as an ordinary user.
#
#   docker build --build-arg KOHORTA_COMMIT=$(git rev-parse HEAD) -t kohorta .
#
# The image needs nothing but /var/lib/kohorta to write to, also for temporary files, so its root may be read-only. It
# listens on all of the container's addresses, and the server refuses that without an API key: set KOHORTA_API_KEY.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The history is not copied; --version shows this instead.
ARG KOHORTA_COMMIT=
RUN cargo build --release --locked -p server -p importer

# Everything that scripts/test needs; not part of the image that runs (`docker compose run --rm tests`).
FROM rust:1.95-bookworm AS tests
COPY --from=node:20-bookworm-slim /usr/local/bin/node /usr/local/bin/node
COPY --from=node:20-bookworm-slim /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
    && rustup component add rustfmt clippy
WORKDIR /src
COPY . .
CMD ["scripts/test"]

FROM debian:bookworm-slim AS kohorta
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/kohorta kohorta
COPY --from=build /src/target/release/kohorta /src/target/release/kohorta-import /usr/local/bin/
COPY LICENSE-APACHE LICENSE-MIT docs/licences.md /usr/share/doc/kohorta/
USER 10001
WORKDIR /var/lib/kohorta
VOLUME /var/lib/kohorta
# `kohorta-import --dry-run` keeps temporary files.
ENV KOHORTA_LISTEN=0.0.0.0:8000 TMPDIR=/var/lib/kohorta
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
CMD ["kohorta"]
