# The gateway, without a shell and without root.
#
#   docker build --tag jobwire --build-arg REVISION="$(git rev-parse HEAD)" .
#
# The two Debian releases belong together: the program is linked with the C library of the first.
ARG RUST=1.89-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM rust:${RUST} AS build
WORKDIR /build

# What we depend on is built from the manifests alone, with empty sources in place of ours, so that it is
# built again only when they change. Cargo wants every target that Cargo.toml names.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/hot_path tests/checker tests/soak \
    && for target in src/main.rs benches/catch_up.rs benches/hot_path/main.rs tests/checker/main.rs tests/soak/main.rs; do \
         echo 'fn main() {}' > "$target"; \
       done \
    && touch src/lib.rs \
    && cargo build --release --locked

# Cargo goes by times, and ours are older than those of the empty files.
COPY src src
COPY nats nats
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="jobwire" \
      org.opencontainers.image.description="A WebSocket gateway that lets anyone watch a long-running job" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /build/target/release/jobwire /usr/local/bin/jobwire

# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# In a container, this machine's own address reaches nobody.
ENV JOBWIRE_LISTEN=0.0.0.0:8080 \
    JOBWIRE_ADMIN_LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
# Asks /readyz on the admin address. Kubernetes has probes of its own and does not look at it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/jobwire", "health"]
# SIGTERM closes the connections over `drain`, 20 s: stop with `docker stop --time 35`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/jobwire"]
CMD ["serve"]
