# Builds both programs from a clean clone and puts them into a small image that runs as an ordinary user.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p server -p importer

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/kohorta kohorta
COPY --from=build /src/target/release/kohorta /src/target/release/kohorta-import /usr/local/bin/
USER kohorta
WORKDIR /var/lib/kohorta
VOLUME /var/lib/kohorta
ENV KOHORTA_LISTEN=0.0.0.0:8000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
CMD ["kohorta"]
