# A small image without a shell: the program, the C library that it needs, and the certificate authorities.
#
#     docker build --build-arg GATEWARD_COMMIT="$(git rev-parse --short=12 HEAD)" --tag gateward .
#     docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#         --publish 127.0.0.1:3000:3000 --volume gateward:/var/lib/gateward \
#         --volume /etc/gateward:/etc/gateward:ro gateward
#
# The configuration is /etc/gateward/gateward.toml; it has to say listen = ["0.0.0.0:3000"]. Nothing outside of /var/lib/gateward is
# written. User 65532 must be able to read the configuration and the master key.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ARG GATEWARD_COMMIT=
# The dependencies of the lock file, always in the same directories, and no time in the program.
RUN cargo build --release --locked --bin gateward

# The whole file system of the image: the program, the libraries that it is linked to and nothing else.
WORKDIR /image
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN mkdir -p etc/ssl/certs etc/gateward usr/bin var/lib/gateward; \
    cp /src/target/release/gateward usr/bin/; \
    ldd usr/bin/gateward | grep -o '/[^ ]*' | while read -r library; do \
        mkdir -p ".${library%/*}"; \
        cp --dereference "$library" ".$library"; \
    done; \
    cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/; \
    echo 'hosts: files dns' > etc/nsswitch.conf; \
    echo 'gateward:x:65532:65532::/var/lib/gateward:/usr/sbin/nologin' > etc/passwd; \
    echo 'gateward:x:65532:' > etc/group; \
    chown 65532:65532 var/lib/gateward; \
    chmod 0700 var/lib/gateward

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
WORKDIR /var/lib/gateward
VOLUME /var/lib/gateward
ENV GATEWARD_CONFIG=/etc/gateward/gateward.toml \
    GATEWARD_DATA_DIRECTORY=/var/lib/gateward
EXPOSE 3000
# Ready, and not only alive: asked of /readyz by the program itself, as there is no shell here.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/bin/gateward", "healthcheck"]
ENTRYPOINT ["/usr/bin/gateward"]
CMD ["serve"]
